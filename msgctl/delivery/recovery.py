"""What was cut from the stream before it was delivered comes back from the conversations' kept responses."""

from collections import Counter

from msgctl import contracts, logs
from msgctl.config.settings import Settings
from msgctl.delivery.record import record_ttl
from msgctl.metrics import definitions as metrics
from msgctl.redisdb.client import RedisClient
from msgctl.redisdb.script import Script

RECOVER = Script.beside(__file__, "recover")
BATCH = 100
"""Conversations looked through in one call."""
ALONE = 60_000
"""Milliseconds for which one subscriber does this and the others leave it to that one."""

log = logs.get(__name__)


class Recovery:
    """Looks through every conversation that Redis knows.

    A response that another program published, or that is older than `history.replies`, is in no conversation and
    cannot come back.

    Args:
        redis: a client for short commands.
        settings: `delivery.timeout`, `delivery.takeover`, `retention.completed`.
    """

    def __init__(self, redis: RedisClient, settings: Settings) -> None:
        self._redis = redis
        self._under_way = int((settings.delivery.timeout + settings.delivery.takeover) * 1000)
        self._ttl = record_ttl(settings)

    async def run(self) -> None:
        """Put back what is lost, unless another subscriber is at it; to be repeated until nothing is doubtful.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        if not await self._redis.set(contracts.RESPONSES_RECOVERING, 1, nx=True, px=ALONE):
            return
        try:
            doubtful, back = await self._look_through()
            if back:
                log.error("Responses were cut from the stream undelivered; they are put back", **back)
            for channel, count in back.items():
                metrics.DELIVERIES.labels(channel, "rebuilt").inc(count)
            if not doubtful:
                await self._redis.delete(contracts.RESPONSES_LOST)
        finally:
            await self._redis.delete(contracts.RESPONSES_RECOVERING)

    async def _look_through(self) -> tuple[int, Counter[str]]:
        """How many may still be under way, and how many were put back by channel."""
        doubtful, back, cursor = 0, Counter[str](), -1
        while cursor:
            cursor, keys = await self._redis.scan(max(cursor, 0), f"{contracts.REPLIES}*", BATCH)
            conversations = [str(key).removeprefix(contracts.REPLIES) for key in keys]
            if conversations:
                outcome = await RECOVER(self._redis, self._under_way, self._ttl, *conversations)
                doubtful += outcome[0]
                back.update(outcome[1:])
        return doubtful, back
