"""Ending messages that wait: they become dead letters of code `cancelled`, which a replay takes back."""

from collections.abc import Sequence

import msgspec

from msgctl.domain.messages import Failure
from msgctl.domain.times import timestamp
from msgctl.operations.context import Context
from msgctl.queue.job import Job

CANCELLED = "cancelled"
CANCEL_BATCH_SIZE = 100


class MessageCanceller:
    """Cancels messages.

    Args:
        context: the pipeline it works on.
    """

    def __init__(self, context: Context) -> None:
        self._queue = context.queue

    async def cancel(self, message_ids: Sequence[str], reason: str = "") -> dict[str, str]:
        """End messages that wait or are delayed.

        Args:
            message_ids: which.
            reason: becomes part of the error, for operators.

        Returns:
            By id `cancelled`, `missing`, or the state of one that cannot be cancelled any more.
        """
        outcomes = {}
        for start in range(0, len(message_ids), CANCEL_BATCH_SIZE):
            batch = message_ids[start : start + CANCEL_BATCH_SIZE]
            for message_id, job in zip(batch, await self._queue.find_many(batch), strict=True):
                outcomes[message_id] = await self._cancel(job, reason) if job else "missing"
        return outcomes

    async def _cancel(self, job: Job, reason: str) -> str:
        now = timestamp()
        text = f"An operator ended it{f': {reason}' if reason else '.'}"
        error = {"class": "final", "code": CANCELLED, "text": text, "at": now}
        message = job.message
        failure = Failure.for_message(message, CANCELLED, timestamp=now)
        outcome = await self._queue.cancel(
            message.message_id, error=msgspec.json.encode(error), failure=failure.to_json()
        )
        return outcome if outcome in {CANCELLED, "missing"} else _as_state(outcome)


def _as_state(status: str) -> str:
    return {"started": "active", "finished": "completed"}.get(status, status)
