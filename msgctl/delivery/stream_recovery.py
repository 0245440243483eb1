"""What was cut from the stream before it was delivered comes back from the conversations' kept responses."""

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
"""Conversations looked through in one call."""
RECOVERY_LOCK_TTL_MS = 60_000
"""Milliseconds for which one subscriber does this and the others leave it to that one."""

log = logs.get_logger(__name__)


class StreamRecovery:
    """Looks through every conversation that Redis knows.

    A response that another program published, or that is older than `history.replies`, is in no conversation and
    cannot come back.

    Args:
        redis: a client for short commands.
        settings: `delivery.timeout`, `delivery.takeover`, `retention.completed`.
    """

    def __init__(self, redis: RedisClient, settings: Settings) -> None:
        self._redis = redis
        self._in_flight_ms = int((settings.delivery.timeout + settings.delivery.takeover) * 1000)
        self._record_ttl_ms = record_ttl_ms(settings)

    async def run(self) -> None:
        """Put back what is lost, unless another subscriber is at it; to be repeated until nothing is doubtful.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        if not await self._redis.set(keys.RESPONSES_RECOVERING, 1, nx=True, px=RECOVERY_LOCK_TTL_MS):
            return
        try:
            doubtful, back = await self._restore_lost()
            if back:
                log.error("Responses were cut from the stream undelivered; they are put back", **back)
            for channel, count in back.items():
                metrics.DELIVERIES.labels(channel, "rebuilt").inc(count)
            if not doubtful:
                await self._redis.delete(keys.RESPONSES_LOST)
        finally:
            await self._redis.delete(keys.RESPONSES_RECOVERING)

    async def _restore_lost(self) -> tuple[int, Counter[str]]:
        """How many may still be under way, and how many were put back by channel."""
        doubtful, back, cursor = 0, Counter[str](), -1
        while cursor:
            cursor, key_names = await self._redis.scan(max(cursor, 0), f"{keys.REPLIES}*", RECOVERY_SCAN_COUNT)
            conversations = [str(key).removeprefix(keys.REPLIES) for key in key_names]
            if conversations:
                outcome = await RESTORE_RESPONSES(
                    self._redis, self._in_flight_ms, self._record_ttl_ms, *conversations
                )
                doubtful += outcome[0]
                back.update(outcome[1:])
        return doubtful, back
