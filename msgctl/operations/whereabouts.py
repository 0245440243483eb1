"""Where the canary is now: at which hop of its way, and in whose hands."""

from enum import StrEnum
from typing import Any

from redis.exceptions import ResponseError

from msgctl import contracts
from msgctl.messages import Record
from msgctl.redisdb.client import RedisClient

FAR = 1000
"""Messages of the first queue that are looked through for it."""


class Stage(StrEnum):
    """A hop of the canary's way; the value completes `The canary …`."""

    NONE = "is not under way"
    QUEUED = "waits for any worker"
    RUNNING = "is in the hands of {holder}"
    UNREAD = "is answered, and its reply waits for any subscriber"
    UNSETTLED = "is answered, and its reply is in the hands of {holder}"
    ARRIVED = "has arrived"
    ASIDE = "is where nobody can be blamed for it: its queue is paused, its agent fails, or its record is gone"


class Whereabouts(Record, kw_only=True, frozen=True):
    """Of the one that is under way."""

    stage: Stage
    message_id: str = ""
    holder: str = ""
    """The worker that runs it, or the subscriber that holds its reply."""

    @property
    def sentence(self) -> str:
        """In words, without a full stop."""
        return f"The canary {self.stage.format(holder=self.holder)}"


async def locate(redis: RedisClient) -> Whereabouts:
    """Look where the canary is.

    Args:
        redis: a client of `redisdb.connect`.

    Raises:
        RedisUnavailable: Redis does not answer.
    """
    message_id = await redis.hget(contracts.CANARY, "id")
    if not message_id:
        return Whereabouts(stage=Stage.NONE)
    stage, holder = await _find(redis, message_id)
    return Whereabouts(stage=stage, message_id=message_id, holder=holder)


async def _find(redis: RedisClient, message_id: str) -> tuple[Stage, str]:
    fields = ("status", "worker_name", contracts.FIELD_COMMITTED)
    status, worker, committed = await redis.hmget(contracts.job_key(message_id), *fields)
    if status == "started":
        return Stage.RUNNING, worker or ""
    if status == "queued":
        return (Stage.QUEUED if await _is_to_be_had(redis, message_id) else Stage.ASIDE), ""
    if status != "finished" or not committed:
        return Stage.ASIDE, ""
    if await redis.exists(contracts.DELIVERY + message_id):
        return Stage.ARRIVED, ""
    return await _find_reply(redis, committed.split(" ")[2])


async def _is_to_be_had(redis: RedisClient, message_id: str) -> bool:
    """Whether a worker that has room would get it: its queue is open, and it is there."""
    queue = contracts.QUEUES[0]
    async with redis.pipeline(transaction=False) as pipeline:
        pipeline.exists(contracts.RQ_SUSPENDED)
        pipeline.sismember(contracts.PAUSED, queue)
        pipeline.lpos(contracts.RQ_QUEUE + queue, message_id, maxlen=FAR)
        suspended, paused, place = await pipeline.execute()
    return not suspended and not paused and place is not None


async def _find_reply(redis: RedisClient, entry: str) -> tuple[Stage, str]:
    """Whether its reply was read from the stream, and by whom."""
    group = contracts.RESPONSES_GROUP
    try:
        groups: Any = await redis.xinfo_groups(contracts.RESPONSES)
        pending: Any = await redis.xpending_range(contracts.RESPONSES, group, entry, entry, 1)
    except ResponseError:  # the stream or its group is gone; whoever reads makes it anew
        return Stage.ASIDE, ""
    facts = next(one for one in groups if one["name"] == group)
    if pending:
        return Stage.UNSETTLED, str(pending[0]["consumer"])
    if _order(entry) > _order(str(facts["last-delivered-id"])):
        return Stage.UNREAD, ""
    return Stage.ASIDE, ""


def _order(entry: str) -> tuple[int, int]:
    milliseconds, _, number = entry.partition("-")
    return int(milliseconds), int(number)
