"""Verification of keys (I6): each has an owner or expires, so that memory comes back to where it was."""

from collections.abc import Callable, Sequence
from typing import Any

from msgctl import contracts
from msgctl.channels.names import channel_names
from msgctl.config.settings import Settings
from msgctl.operations.findings import Suspect, suspect
from msgctl.redisdb.client import RedisClient

OWN = "msgctl:"
STANDING = {
    contracts.LEASES,
    contracts.TENDED,
    contracts.PAUSED,
    contracts.JOURNAL,
    contracts.PARKED,
    contracts.BREAKERS,
    contracts.IDLE_WORKERS,
    contracts.RESPONSES,
    contracts.RESPONSES_SETTLED,
    contracts.RESPONSES_LOST,
    contracts.POSTPONED,
    contracts.SUBSCRIBERS,
    contracts.GATEWAYS,
    contracts.EVENTS,
    contracts.EVENTS_PROJECTED,
    contracts.EVENTS_LOST,
    contracts.CANARY,
    contracts.CALLBACKS_GONE,
}
"""Keys of which there is one, for good."""


def _channel_keys() -> frozenset[str]:
    """Return the keys of which there is one a channel, for good."""
    return frozenset(
        prefix + name for prefix in (contracts.HELD, contracts.CHANNEL_STATE) for name in channel_names()
    )


class Ownership:
    """Every key of ours that does not expire belongs to something that is there.

    A job hash is judged with its message; RQ's keys of other programs are none of ours.
    """

    def __init__(self, settings: Settings, redis: RedisClient) -> None:
        self._settings = settings
        self._redis = redis

    def concerns(self, key: str) -> bool:
        """Our prefix, and RQ's keys of single runs and workers."""
        if key.startswith((contracts.RQ_EXECUTION, contracts.RQ_EXECUTIONS, contracts.RQ_WORKER)):
            return True
        if not key.startswith(OWN) or key.startswith(contracts.MAILBOX) or key in STANDING:
            return False
        return key not in _channel_keys()

    async def look(self, keys: Sequence[str]) -> list[Suspect]:
        """Which of these keys nobody will ever remove."""
        lasting = await self._lasting(keys)
        return [
            suspect(key, "I6", key, "it does not expire, and nothing owns it")
            for key in lasting
            if not await self._has_owner(key)
        ]

    async def _lasting(self, keys: Sequence[str]) -> list[str]:
        pipeline = self._redis.pipeline(transaction=False)
        for key in keys:
            pipeline.pttl(key)
        times = await pipeline.execute()
        return [key for key, left in zip(keys, times, strict=True) if left == -1]

    async def _has_owner(self, key: str) -> bool:
        for prefix, ask in self._owners():
            if key.startswith(prefix):
                return bool(await ask(key.removeprefix(prefix)))
        return False

    def _owners(self) -> list[tuple[str, Callable[[str], Any]]]:
        """How to ask for the owner of a key, by the prefix of the key; the first that fits counts."""
        return [
            (contracts.RQ_EXECUTIONS, self._is_running),
            (contracts.RQ_EXECUTION, self._holds_lease),
            (contracts.RQ_WORKER, self._is_worked),
            (contracts.IDEMPOTENCY, self._stands_for_something),
        ]

    async def _holds_lease(self, member: str) -> bool:
        return await self._redis.zscore(contracts.LEASES, member) is not None

    async def _is_running(self, message_id: str) -> bool:
        runs = await self._redis.hget(contracts.job_key(message_id), contracts.FIELD_RUNS)
        return await self._holds_lease(f"{message_id}:{runs}")

    async def _stands_for_something(self, name: str) -> bool:
        """A client's key lasts as long as its message is not over."""
        message_id = await self._redis.get(contracts.IDEMPOTENCY + name)
        return bool(await self._redis.exists(contracts.job_key(str(message_id))))

    async def _is_worked(self, name: str) -> bool:
        """A worker's own hash must expire; the set of its runs may last as long as one of them holds a lease."""
        if not name.endswith(contracts.RQ_WORKER_EXECUTIONS):
            return False
        runs = await self._redis.smembers(contracts.RQ_WORKER + name)
        return any([await self._holds_lease(run) for run in runs])
