"""Forgetting messages that are over, before their time of retention has come."""

from collections.abc import AsyncIterator
from typing import Literal

from msgctl.domain.messages import State
from msgctl.operations.context import Context
from msgctl.storage.redis.keys import FIELD_FINISHED, job_key

EndedState = Literal[State.COMPLETED, State.FAILED]
RQ_STATUS: dict[EndedState, Literal["finished", "failed"]] = {State.COMPLETED: "finished", State.FAILED: "failed"}


class MessagePurger:
    """Counts and removes messages that ended before a time, in batches, so that Redis serves others meanwhile.

    Args:
        context: the pipeline it works on.
    """

    def __init__(self, context: Context) -> None:
        self._redis = context.redis
        self._queue = context.queue

    async def count(self, state: EndedState, ended_before: int) -> int:
        """How many messages in this state ended before a Unix time in milliseconds."""
        return sum([len(batch) async for batch in self._matching(state, ended_before)])

    async def remove(self, state: EndedState, ended_before: int) -> AsyncIterator[int]:
        """Remove them and yield how many were removed with each batch; one that was replayed meanwhile stays."""
        async for batch in self._matching(state, ended_before):
            yield await self._queue.delete_ended(RQ_STATUS[state], ended_before, batch)

    async def _matching(self, state: EndedState, ended_before: int) -> AsyncIterator[list[str]]:
        async for ids in self._queue.ended_ids(RQ_STATUS[state]):
            pipeline = self._redis.pipeline(transaction=False)
            for message_id in ids:
                pipeline.hget(job_key(message_id), FIELD_FINISHED)
            ended = await pipeline.execute()
            matching = [
                message_id
                for message_id, at in zip(ids, ended, strict=True)
                if at is not None and int(at) < ended_before
            ]
            if matching:
                yield matching
