"""Recovery of responses that were cut from the stream undelivered, from the kept responses of conversations."""

from collections import Counter

from msgctl.config.settings import Settings
from msgctl.delivery.delivery_record import record_ttl_ms
from msgctl.observability import logs
from msgctl.observability.metrics import definitions as metrics
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.lua import Script

RESTORE_RESPONSES = Script.beside(__file__, "recover")
RECOVERY_SCAN_COUNT = 100
"""Conversations per script call."""
RECOVERY_LOCK_TTL_MS = 60_000
"""Milliseconds after which another subscriber may start a recovery if the running one died."""

log = logs.get_logger(__name__)


class StreamRecovery:
    """Searches every conversation in Redis for undelivered responses.

    A response that got no sequence number, or that is older than `history.replies`, is in no conversation and
    cannot be recovered.

    Args:
        redis: a client for short commands.
        settings: `delivery.timeout`, `delivery.takeover`, `retention.completed`.
    """

    def __init__(self, redis: RedisClient, settings: Settings) -> None:
        self._redis = redis
        self._in_flight_ms = int((settings.delivery.timeout + settings.delivery.takeover) * 1000)
        self._record_ttl_ms = record_ttl_ms(settings)

    async def run(self) -> None:
        """Put lost responses back, unless another subscriber is doing so.

        Call it again as long as `keys.RESPONSES_LOST` is set: a response may still be in flight.

        Raises:
            RedisUnavailable: Redis did not answer.
        """
        if not await self._redis.set(keys.RESPONSES_RECOVERING, 1, nx=True, px=RECOVERY_LOCK_TTL_MS):
            return
        try:
            in_flight, restored = await self._restore_lost()
            if restored:
                log.error("Responses were cut from the stream undelivered; they are put back", **restored)
            for channel, count in restored.items():
                metrics.DELIVERIES.labels(channel, "rebuilt").inc(count)
            if not in_flight:
                await self._redis.delete(keys.RESPONSES_LOST)
        finally:
            await self._redis.delete(keys.RESPONSES_RECOVERING)

    async def _restore_lost(self) -> tuple[int, Counter[str]]:
        """Return how many may still be in flight, and how many were put back per channel."""
        in_flight, restored, cursor = 0, Counter[str](), -1
        while cursor:
            cursor, key_names = await self._redis.scan(max(cursor, 0), f"{keys.REPLIES}*", RECOVERY_SCAN_COUNT)
            conversations = [str(key).removeprefix(keys.REPLIES) for key in key_names]
            if conversations:
                outcome = await RESTORE_RESPONSES(
                    self._redis, self._in_flight_ms, self._record_ttl_ms, *conversations
                )
                in_flight += outcome[0]
                restored.update(outcome[1:])
        return in_flight, restored
