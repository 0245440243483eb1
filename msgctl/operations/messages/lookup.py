"""One message: its status, its record, its delivery, and the history of its conversation."""

from typing import Any

import msgspec

from msgctl.delivery.delivery_record import find_record as find_delivery
from msgctl.domain.errors import NotFound
from msgctl.domain.messages import Message, Response, State, Turn
from msgctl.domain.ownership import require_owner
from msgctl.operations.context import Operation
from msgctl.queue.job import Job
from msgctl.storage.redis import keys

_message_decoder = msgspec.json.Decoder(Message)
_response_decoder = msgspec.json.Decoder(Response)
_turn_decoder = msgspec.json.Decoder(Turn)


class Messages(Operation):
    """Looks up messages."""

    async def status(self, message_id: str, *, user_id: str | None = None) -> dict[str, Any]:
        """Return `{messageId, state, progress, finishedOn, attempts, error?, delivery?}`.

        Args:
            message_id: the id of the message.
            user_id: the user who asks. None: an operator, who may see every message.

        Raises:
            NotFound: there is no such message, or it belongs to another user. The error is the same.
        """
        job = await self._find(message_id, user_id)
        return _status(job) | await self._delivery(message_id, ("state", "providerId"))

    async def show(self, message_id: str) -> dict[str, Any]:
        """Return the status, the message itself, and the record of each run, for an operator.

        Raises:
            NotFound: there is no such message.
        """
        job = await self._find(message_id, None)
        return {
            **_status(job),
            **msgspec.to_builtins(job.message),
            "createdAt": job.created_at,
            "worker": job.worker or None,
            "runs": job.runs,
            "crashes": job.crashes,
            "records": job.failed_runs,
            "edition": job.replacement_id,
            "original": job.superseded_id,
            **await self._delivery(message_id),
        }

    async def _find(self, message_id: str, user_id: str | None) -> Job:
        return require_owner(
            "message", await self._queue.find(message_id), user_id, lambda job: job.message.user_id
        )

    async def reply(self, message_id: str) -> str | None:
        """Return the text of the reply to a message. None: there is none, or it is no longer kept."""
        fields = (keys.FIELD_COMMITTED, keys.FIELD_MESSAGE)
        committed, message = await self._redis.hmget(keys.job_key(message_id), fields)
        if not committed or not message:
            return None
        conversation, seq = _message_decoder.decode(message).conversation_id, committed.split(" ")[1]
        kept: Any = await self._redis.zrangebyscore(keys.REPLIES + conversation, seq, seq)
        responses = map(_response_decoder.decode, kept)
        return next((found.response.message for found in responses if found.message_id == message_id), None)

    async def history(self, conversation_id: str) -> list[Turn]:
        """Return the last turns of a conversation, oldest first, at most `history.turns`."""
        turns = self._settings.history.turns
        if not turns:
            return []
        stored = await self._redis.lrange(keys.HISTORY + conversation_id, -turns, -1)
        return [_turn_decoder.decode(turn) for turn in stored]

    async def delivery(self, message_id: str) -> dict[str, Any]:
        """Return the delivery record of a message, a test of a channel, or an imported response.

        Raises:
            NotFound: no delivery was tried yet, or there is no such message.
        """
        if not (found := await self._delivery(message_id)):
            state = _status(await self._find(message_id, None))["state"]
            raise NotFound(f"No delivery was tried yet. The message is {state}.")
        return {"messageId": message_id, **found["delivery"]}

    async def _delivery(self, message_id: str, fields: tuple[str, ...] = ()) -> dict[str, Any]:
        found = await find_delivery(self._redis, message_id)
        if found is None:
            return {}
        known: dict[str, Any] = msgspec.to_builtins(found)
        return {"delivery": {name: known.get(name) for name in fields} if fields else known}


def _status(job: Job) -> dict[str, Any]:
    error = {} if job.state is State.COMPLETED else job.error  # an earlier error is in the record of its run
    return {
        "messageId": job.message.message_id,
        "state": str(job.state),
        "progress": job.progress,
        "finishedOn": job.finished_on,
        "attempts": job.attempts,
        **({"error": {name: error.get(name) for name in ("class", "code", "text")}} if error else {}),
    }
