"""The dead letters: messages that failed for good. They wait until an operator replays them, or they expire."""

import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Literal, NamedTuple

import msgspec

from msgctl.domain.errors import Conflict, InvalidInput, NotFound, Refused
from msgctl.domain.messages import Message, State
from msgctl.intake.accept import to_receipt
from msgctl.operations.context import Operation

DEAD_LETTER_BATCH_SIZE = 100
"""Messages that one call looks up, replays, or drops."""
END_OF_TIME_MS = 2**53
"""Unix milliseconds that are later than the end of any message."""
MAX_TEXT_LENGTH = 8000
"""Characters, as for a message of a customer."""
REPLACEMENT_NAMESPACE = uuid.UUID("7a1b54b4-7f0d-4d25-9a39-5b1f6a2f3c11")
"""The namespace of the ids of replacements."""


class ReplayResult(NamedTuple):
    """The outcome of the replay of one dead letter."""

    message_id: str
    outcome: Literal["replayed", "missing", "not_failed"]


class DeadLetters(Operation):
    """Replays, drops, and edits dead letters."""

    async def replay(self, message_ids: Sequence[str]) -> AsyncIterator[ReplayResult]:
        """Enqueue dead letters again, with all their attempts, and yield the outcome of each.

        A message that is missing or is not a dead letter does not stop the others.
        """
        for start in range(0, len(message_ids), DEAD_LETTER_BATCH_SIZE):
            batch = message_ids[start : start + DEAD_LETTER_BATCH_SIZE]
            outcomes = await self._queue.replay_many(batch)
            for message_id, outcome in zip(batch, outcomes, strict=True):
                yield ReplayResult(message_id, outcome)

    async def droppable(self, message_ids: Sequence[str]) -> dict[str, bool | None]:
        """Return by id whether `drop_many` would remove it. None: there is no such message."""
        outcomes: dict[str, bool | None] = {}
        for start in range(0, len(message_ids), DEAD_LETTER_BATCH_SIZE):
            batch = message_ids[start : start + DEAD_LETTER_BATCH_SIZE]
            unnotified = await self._queue.find_undelivered(batch)
            for message_id, job in zip(batch, await self._queue.find_many(batch), strict=True):
                failed = job is not None and job.state is State.FAILED
                outcomes[message_id] = None if job is None else failed and message_id not in unnotified
        return outcomes

    async def drop_many(self, message_ids: Sequence[str]) -> dict[str, bool]:
        """Remove dead letters, and return by id whether it is gone.

        A message that is not a dead letter stays. So does one whose sender is still to be notified.
        """
        outcomes: dict[str, bool] = {}
        for start in range(0, len(message_ids), DEAD_LETTER_BATCH_SIZE):
            batch = message_ids[start : start + DEAD_LETTER_BATCH_SIZE]
            await self._queue.delete_ended("failed", END_OF_TIME_MS, batch)
            left = await self._queue.find_many(batch)
            outcomes.update((message_id, job is None) for message_id, job in zip(batch, left, strict=True))
        return outcomes

    async def edit(self, message_id: str, text: str) -> Message:
        """Enqueue a replacement of a dead letter with another text. The original stays, and each names the other.

        The id of the replacement is derived from the original's, so a repeated call completes an interrupted one.

        Args:
            message_id: the id of the dead letter.
            text: the text of the replacement.

        Returns:
            The replacement.

        Raises:
            NotFound: there is no such message.
            Refused: it is not a dead letter, or it was edited before with another text.
            InvalidInput: the text is empty or too long.
            TryLater: its conversation has as many messages as it may have.
        """
        job = await self._queue.find(message_id)
        if job is None:
            raise NotFound("There is no such message.")
        if job.state is not State.FAILED:
            raise Refused(f"Only a dead letter can be edited. This message is {job.state}.")
        if not 1 <= len(text) <= MAX_TEXT_LENGTH:
            raise InvalidInput(f"A message has 1 to {MAX_TEXT_LENGTH} characters. This text has {len(text)}.")
        replacement_id = str(uuid.uuid5(REPLACEMENT_NAMESPACE, message_id))
        replacement = msgspec.structs.replace(job.message, message_id=replacement_id, message=text)
        try:
            to_receipt(await self._queue.enqueue(replacement, digest=replacement.digest()))
        except Conflict:
            raise Refused(
                f"{replacement_id} replaced it before. See: msgctl message show {replacement_id}"
            ) from None
        await self._queue.link_replacement(message_id, replacement_id)
        return replacement
