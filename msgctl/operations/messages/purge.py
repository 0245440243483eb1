"""Removing ended messages before their retention period is over."""

from collections.abc import AsyncIterator
from typing import Literal

from msgctl.domain.messages import State
from msgctl.operations.context import Operation
from msgctl.storage.redis.keys import FIELD_FINISHED, job_key

EndedState = Literal[State.COMPLETED, State.FAILED]
RQ_STATUS: dict[EndedState, Literal["finished", "failed"]] = {State.COMPLETED: "finished", State.FAILED: "failed"}


class MessagePurger(Operation):
    """Counts and removes messages that ended before a time. Batches let Redis serve others meanwhile."""

    async def count(self, state: EndedState, ended_before: int) -> int:
        """Return how many messages in a state ended before a Unix time in milliseconds."""
        return sum([len(batch) async for batch in self._matching(state, ended_before)])

    async def remove(self, state: EndedState, ended_before: int) -> AsyncIterator[int]:
        """Remove these messages, and yield the number of each batch. A message replayed meanwhile stays."""
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
