"""Cancelling messages that wait. They become dead letters with the code `cancelled`, which can be replayed."""

from collections.abc import Sequence

import msgspec

from msgctl.domain.messages import Failure
from msgctl.domain.times import timestamp
from msgctl.operations.context import Operation
from msgctl.queue.job import Job

CANCELLED = "cancelled"
CANCEL_BATCH_SIZE = 100


class MessageCanceller(Operation):
    """Cancels messages."""

    async def cancel(self, message_ids: Sequence[str], reason: str = "") -> dict[str, str]:
        """Cancel messages that wait or are delayed.

        Args:
            message_ids: the ids of the messages.
            reason: becomes part of the error, for operators.

        Returns:
            By id `cancelled`, `missing`, or the state of a message that can no longer be cancelled.
        """
        outcomes = {}
        for start in range(0, len(message_ids), CANCEL_BATCH_SIZE):
            batch = message_ids[start : start + CANCEL_BATCH_SIZE]
            for message_id, job in zip(batch, await self._queue.find_many(batch), strict=True):
                outcomes[message_id] = await self._cancel(job, reason) if job else "missing"
        return outcomes

    async def _cancel(self, job: Job, reason: str) -> str:
        now = timestamp()
        text = f"An operator cancelled it{f': {reason}' if reason else '.'}"
        error = {"class": "final", "code": CANCELLED, "text": text, "at": now}
        message = job.message
        failure = Failure.for_message(message, CANCELLED, timestamp=now)
        outcome = await self._queue.cancel(
            message.message_id, error=msgspec.json.encode(error), failure=failure.to_json()
        )
        return {"started": "active", "finished": "completed"}.get(outcome, outcome)
