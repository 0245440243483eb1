"""The dead letters: messages that failed for good, until someone replays them or they expire."""

import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from msgctl.domain.errors import Conflict, InvalidInput, NotFound, Refused
from msgctl.domain.messages import Message, State
from msgctl.intake.accept import to_receipt
from msgctl.operations.context import Context
from msgctl.queue.job import Job

DEAD_LETTER_BATCH_SIZE = 100
"""Messages looked up or replayed at once."""
END_OF_TIME_MS = 2**53
"""A time, in Unix milliseconds, that nothing ends after."""
MAX_TEXT_LENGTH = 8000
"""Characters, as at the door."""
REPLACEMENT_NAMESPACE = uuid.UUID("7a1b54b4-7f0d-4d25-9a39-5b1f6a2f3c11")
"""The namespace of the ids of editions."""


class ReplayResult(NamedTuple):
    """What became of the replay of one dead letter."""

    message_id: str
    outcome: Literal["replayed", "missing", "not_failed"]


class DeadLetters:
    """Lists and replays them.

    Args:
        context: the pipeline it works on.
    """

    def __init__(self, context: Context) -> None:
        self._queue = context.queue

    async def count(self) -> int:
        """How many there are."""
        return (await self._queue.stats()).failed

    async def newest(self, limit: int, offset: int = 0) -> list[dict[str, Any]]:
        """The newest first, without their texts; one whose record has gone is passed over."""
        ids = await self._queue.failed_ids(limit, offset)
        return [_summary(job) for job in await self._queue.find_many(ids) if job is not None]

    async def all_ids(self) -> list[str]:
        """The ids of all as of now, so that one which fails again is not replayed twice by the same act."""
        return [message_id async for batch in self._queue.ended_ids("failed") for message_id in batch]

    async def replay(self, message_ids: Sequence[str]) -> AsyncIterator[ReplayResult]:
        """Give each a fresh budget of attempts, and tell what became of it; what is missing stops nothing."""
        for start in range(0, len(message_ids), DEAD_LETTER_BATCH_SIZE):
            batch = message_ids[start : start + DEAD_LETTER_BATCH_SIZE]
            outcomes = await self._queue.replay_many(batch)
            for message_id, outcome in zip(batch, outcomes, strict=True):
                yield ReplayResult(message_id, outcome)

    async def drop(self, message_id: str) -> bool:
        """Forget a dead letter for good; False if it is none any more."""
        return bool(await self._queue.delete_ended("failed", END_OF_TIME_MS, [message_id]))

    async def droppable(self, message_ids: Sequence[str]) -> dict[str, bool | None]:
        """By id whether `drop_many` would forget it; None: there is no such message."""
        outcomes: dict[str, bool | None] = {}
        for start in range(0, len(message_ids), DEAD_LETTER_BATCH_SIZE):
            batch = message_ids[start : start + DEAD_LETTER_BATCH_SIZE]
            untold = await self._queue.find_undelivered(batch)
            for message_id, job in zip(batch, await self._queue.find_many(batch), strict=True):
                ended = job is not None and job.state is State.FAILED
                outcomes[message_id] = None if job is None else ended and message_id not in untold
        return outcomes

    async def drop_many(self, message_ids: Sequence[str]) -> dict[str, bool]:
        """Forget dead letters for good; by id whether it is gone. What is none, or is still to be told, stays."""
        outcomes: dict[str, bool] = {}
        for start in range(0, len(message_ids), DEAD_LETTER_BATCH_SIZE):
            batch = message_ids[start : start + DEAD_LETTER_BATCH_SIZE]
            await self._queue.delete_ended("failed", END_OF_TIME_MS, batch)
            left = await self._queue.find_many(batch)
            outcomes.update((message_id, job is None) for message_id, job in zip(batch, left, strict=True))
        return outcomes

    async def edit(self, message_id: str, text: str) -> Message:
        """Send a dead letter anew in other words, as a message of its own; the original stays, and both name it.

        The id of the edition follows from the original's, so one that broke off is taken up by saying it again.

        Returns:
            The message that was sent.

        Raises:
            NotFound: there is no such message.
            Refused: it is no dead letter, or it was edited before.
            InvalidInput: the text is empty or longer than a customer's may be.
            TryLater: its conversation holds as many messages as it may.
        """
        job = await self._queue.find(message_id)
        if job is None:
            raise NotFound("There is no such message.")
        if job.state is not State.FAILED:
            raise Refused(f"Only a dead letter can be edited; this message is {job.state}.")
        if not 1 <= len(text) <= MAX_TEXT_LENGTH:
            raise InvalidInput(f"A message has 1 to {MAX_TEXT_LENGTH} characters; this has {len(text)}.")
        name = str(uuid.uuid5(REPLACEMENT_NAMESPACE, message_id))
        edition = msgspec.structs.replace(job.message, message_id=name, message=text)
        try:
            to_receipt(await self._queue.enqueue(edition, digest=edition.digest()))
        except Conflict:
            raise Refused(
                f"It was edited before and sent anew as {name}. See: msgctl message show {name}"
            ) from None
        await self._queue.link_replacement(message_id, name)
        return edition


def _summary(job: Job) -> dict[str, Any]:
    return {
        "messageId": job.message.message_id,
        "conversationId": job.message.conversation_id,
        "agentId": job.message.agent_id,
        "userId": job.message.user_id,
        "channel": str(job.message.channel),
        "priority": job.message.priority,
        "attempts": job.attempts,
        "crashes": job.crashes,
        "error": job.error,
        "finishedOn": job.finished_on,
    }
