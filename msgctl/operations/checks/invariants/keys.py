"""Verification of keys (I6): each has an owner or expires, so that the memory of Redis does not grow."""

from collections.abc import Callable, Sequence
from typing import Any

from msgctl.channels.names import channel_names
from msgctl.operations.checks.invariants.check import InvariantCheck, Suspect, suspect
from msgctl.storage.redis import keys

KEY_PREFIX = "msgctl:"
PERMANENT_KEYS = {
    keys.LEASES,
    keys.TENDED,
    keys.PAUSED,
    keys.JOURNAL,
    keys.PARKED,
    keys.BREAKERS,
    keys.N8N_HELD,
    keys.N8N_DOUBTFUL,
    keys.IDLE_WORKERS,
    keys.RESPONSES,
    keys.RESPONSES_SETTLED,
    keys.RESPONSES_LOST,
    keys.POSTPONED,
    keys.SUBSCRIBERS,
    keys.GATEWAYS,
    keys.EVENTS,
    keys.EVENTS_PROJECTED,
    keys.EVENTS_LOST,
    keys.CANARY,
    keys.CALLBACKS_GONE,
}
"""Keys that exist once and never expire."""


def _channel_keys() -> frozenset[str]:
    """Return the keys that exist once per channel and never expire."""
    return frozenset(prefix + name for prefix in (keys.HELD, keys.CHANNEL_STATE) for name in channel_names())


class KeyOwnershipCheck(InvariantCheck):
    """Every key of msgctl that does not expire belongs to something that exists.

    A job hash is checked with its message. Keys that other programs of RQ own are not checked.
    """

    def applies_to(self, key: str) -> bool:
        """Return whether it has the prefix of msgctl, or is RQ's key of a run or a worker."""
        if key.startswith((keys.RQ_EXECUTION, keys.RQ_EXECUTIONS, keys.RQ_WORKER)):
            return True
        if not key.startswith(KEY_PREFIX) or key.startswith(keys.MAILBOX) or key in PERMANENT_KEYS:
            return False
        return key not in _channel_keys()

    async def find_suspects(self, key_names: Sequence[str]) -> list[Suspect]:
        """Return the keys that nothing will ever remove."""
        permanent = await self._without_expiry(key_names)
        return [
            suspect(key, "I6", key, "it does not expire, and nothing owns it")
            for key in permanent
            if not await self._has_owner(key)
        ]

    async def _without_expiry(self, key_names: Sequence[str]) -> list[str]:
        pipeline = self._redis.pipeline(transaction=False)
        for key in key_names:
            pipeline.pttl(key)
        times = await pipeline.execute()
        return [key for key, left in zip(key_names, times, strict=True) if left == -1]

    async def _has_owner(self, key: str) -> bool:
        for prefix, has_owner in self._owners():
            if key.startswith(prefix):
                return bool(await has_owner(key.removeprefix(prefix)))
        return False

    def _owners(self) -> list[tuple[str, Callable[[str], Any]]]:
        """Return what tells whether a key has an owner, by its prefix. The first prefix that fits counts."""
        return [
            (keys.RQ_EXECUTIONS, self._is_running),
            (keys.RQ_EXECUTION, self._holds_lease),
            (keys.RQ_WORKER, self._has_live_runs),
            (keys.IDEMPOTENCY, self._has_message),
        ]

    async def _holds_lease(self, member: str) -> bool:
        return await self._redis.zscore(keys.LEASES, member) is not None

    async def _is_running(self, message_id: str) -> bool:
        runs = await self._redis.hget(keys.job_key(message_id), keys.FIELD_RUNS)
        return await self._holds_lease(f"{message_id}:{runs}")

    async def _has_message(self, name: str) -> bool:
        """Return whether the message of an idempotency key exists. The key lasts until the message ends."""
        message_id = await self._redis.get(keys.IDEMPOTENCY + name)
        return bool(await self._redis.exists(keys.job_key(str(message_id))))

    async def _has_live_runs(self, name: str) -> bool:
        """Return whether a key is the set of a worker's runs, and one of them holds a lease.

        The hash of the worker itself must expire.
        """
        if not name.endswith(keys.RQ_WORKER_EXECUTIONS):
            return False
        runs = await self._redis.smembers(keys.RQ_WORKER + name)
        return any([await self._holds_lease(run) for run in runs])
