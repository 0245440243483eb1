"""Where the canary is now: at which hop of its way, and in whose hands."""

from enum import StrEnum
from typing import Any

from redis.exceptions import ResponseError

from msgctl.domain.messages import WireStruct
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient

CANARY_SCAN_LIMIT = 1000
"""Messages of the first queue that are looked through for it."""


class CanaryStage(StrEnum):
    """A hop of the canary's way; the value completes `The canary …`."""

    NONE = "is not under way"
    QUEUED = "waits for any worker"
    RUNNING = "is in the hands of {holder}"
    UNREAD = "is answered, and its reply waits for any subscriber"
    UNSETTLED = "is answered, and its reply is in the hands of {holder}"
    ARRIVED = "has arrived"
    UNATTRIBUTABLE = (
        "is where nobody can be blamed for it: its queue is paused, its agent fails, or its record is gone"
    )


class CanaryLocation(WireStruct, kw_only=True, frozen=True):
    """Of the one that is under way."""

    stage: CanaryStage
    message_id: str = ""
    holder: str = ""
    """The worker that runs it, or the subscriber that holds its reply."""

    @property
    def sentence(self) -> str:
        """In words, without a full stop."""
        return f"The canary {self.stage.format(holder=self.holder)}"


async def locate_canary(redis: RedisClient) -> CanaryLocation:
    """Look where the canary is.

    Args:
        redis: a client of `redisdb.connect`.

    Raises:
        RedisUnavailable: Redis does not answer.
    """
    message_id = await redis.hget(keys.CANARY, "id")
    if not message_id:
        return CanaryLocation(stage=CanaryStage.NONE)
    stage, holder = await _find_stage(redis, message_id)
    return CanaryLocation(stage=stage, message_id=message_id, holder=holder)


async def _find_stage(redis: RedisClient, message_id: str) -> tuple[CanaryStage, str]:
    fields = ("status", "worker_name", keys.FIELD_COMMITTED)
    status, worker, committed = await redis.hmget(keys.job_key(message_id), *fields)
    if status == "started":
        return CanaryStage.RUNNING, worker or ""
    if status == "queued":
        return (CanaryStage.QUEUED if await _is_claimable(redis, message_id) else CanaryStage.UNATTRIBUTABLE), ""
    if status != "finished" or not committed:
        return CanaryStage.UNATTRIBUTABLE, ""
    if await redis.exists(keys.DELIVERY + message_id):
        return CanaryStage.ARRIVED, ""
    return await _find_reply(redis, committed.split(" ")[2])


async def _is_claimable(redis: RedisClient, message_id: str) -> bool:
    """Whether a worker that has room would get it: its queue is open, and it is there."""
    queue = keys.QUEUES[0]
    async with redis.pipeline(transaction=False) as pipeline:
        pipeline.exists(keys.RQ_SUSPENDED)
        pipeline.sismember(keys.PAUSED, queue)
        pipeline.lpos(keys.RQ_QUEUE + queue, message_id, maxlen=CANARY_SCAN_LIMIT)
        suspended, paused, place = await pipeline.execute()
    return not suspended and not paused and place is not None


async def _find_reply(redis: RedisClient, entry: str) -> tuple[CanaryStage, str]:
    """Whether its reply was read from the stream, and by whom."""
    group = keys.RESPONSES_GROUP
    try:
        groups: Any = await redis.xinfo_groups(keys.RESPONSES)
        pending: Any = await redis.xpending_range(keys.RESPONSES, group, entry, entry, 1)
    except ResponseError:  # the stream or its group is gone; whoever reads makes it anew
        return CanaryStage.UNATTRIBUTABLE, ""
    facts = next(one for one in groups if one["name"] == group)
    if pending:
        return CanaryStage.UNSETTLED, str(pending[0]["consumer"])
    if _entry_order(entry) > _entry_order(str(facts["last-delivered-id"])):
        return CanaryStage.UNREAD, ""
    return CanaryStage.UNATTRIBUTABLE, ""


def _entry_order(entry: str) -> tuple[int, int]:
    milliseconds, _, number = entry.partition("-")
    return int(milliseconds), int(number)
