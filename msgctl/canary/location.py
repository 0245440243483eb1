"""The stage that the canary has reached, and the daemon that holds it."""

from enum import StrEnum
from typing import Any

from redis.exceptions import ResponseError

from msgctl.domain.messages import WireStruct
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient

CANARY_SCAN_LIMIT = 1000
"""How many messages of the first queue are searched for the canary."""


class CanaryStage(StrEnum):
    """A stage of the canary. The value completes the sentence `The canary …`."""

    NONE = "is not in flight"
    QUEUED = "waits for any worker"
    RUNNING = "is being processed by {holder}"
    UNREAD = "is answered, and its reply waits for any subscriber"
    UNSETTLED = "is answered, and its reply is being delivered by {holder}"
    ARRIVED = "has arrived"
    UNATTRIBUTABLE = "is held up by no daemon: its queue is paused, its agent fails, or its record is missing"


class CanaryLocation(WireStruct, kw_only=True, frozen=True):
    """The location of the canary in flight."""

    stage: CanaryStage
    message_id: str = ""
    holder: str = ""
    """The worker that processes it, or the subscriber that delivers its reply."""

    @property
    def sentence(self) -> str:
        """The stage as a sentence without a full stop."""
        return f"The canary {self.stage.format(holder=self.holder)}"


async def locate_canary(redis: RedisClient) -> CanaryLocation:
    """Find the stage of the canary.

    Args:
        redis: a client made by `connect`.

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
    """Whether a worker with a free slot would get it: its queue is not paused and contains it."""
    queue = keys.QUEUES[0]
    async with redis.pipeline(transaction=False) as pipeline:
        pipeline.exists(keys.RQ_SUSPENDED)
        pipeline.sismember(keys.PAUSED, queue)
        pipeline.lpos(keys.RQ_QUEUE + queue, message_id, maxlen=CANARY_SCAN_LIMIT)
        suspended, paused, index = await pipeline.execute()
    return not suspended and not paused and index is not None


async def _find_reply(redis: RedisClient, entry: str) -> tuple[CanaryStage, str]:
    """Return whether its reply was read from the stream, and the subscriber that read it."""
    group = keys.RESPONSES_GROUP
    try:
        groups: Any = await redis.xinfo_groups(keys.RESPONSES)
        pending: Any = await redis.xpending_range(keys.RESPONSES, group, entry, entry, 1)
    except ResponseError:  # the stream or its group is missing; a subscriber creates it again
        return CanaryStage.UNATTRIBUTABLE, ""
    delivery_group = next(row for row in groups if row["name"] == group)
    if pending:
        return CanaryStage.UNSETTLED, str(pending[0]["consumer"])
    if _entry_order(entry) > _entry_order(str(delivery_group["last-delivered-id"])):
        return CanaryStage.UNREAD, ""
    return CanaryStage.UNATTRIBUTABLE, ""


def _entry_order(entry: str) -> tuple[int, int]:
    milliseconds, _, number = entry.partition("-")
    return int(milliseconds), int(number)
