"""One message: where it is, and everything known of it."""

from typing import Any

import msgspec

from msgctl.delivery.delivery_record import find_record as find_delivery
from msgctl.domain.errors import NotFound
from msgctl.domain.messages import Message, Response, State
from msgctl.domain.ownership import require_owner
from msgctl.operations.context import Context
from msgctl.queue.job import Job
from msgctl.storage.redis import keys

_message_decoder = msgspec.json.Decoder(Message)
_response_decoder = msgspec.json.Decoder(Response)


class Messages:
    """Looks up messages.

    Args:
        context: the pipeline it works on.
    """

    def __init__(self, context: Context) -> None:
        self._redis = context.redis
        self._queue = context.queue

    async def status(self, message_id: str, *, user_id: str | None = None) -> dict[str, Any]:
        """`{messageId, state, progress, finishedOn, attempts, error?, delivery?}`.

        Args:
            message_id: the message.
            user_id: only if it is this user's; None for an operator, who may see all.

        Raises:
            NotFound: there is no such message, or it is another user's; the two cannot be told apart.
        """
        job = await self._find(message_id, user_id)
        return _status(job) | await self._delivery(message_id, ("state", "providerId"))

    async def show(self, message_id: str) -> dict[str, Any]:
        """The status, the message itself and the record of each run, for an operator.

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
        """The text that answered a message; None if it was not answered, or its reply is no longer kept."""
        fields = (keys.FIELD_COMMITTED, keys.FIELD_MESSAGE)
        committed, message = await self._redis.hmget(keys.job_key(message_id), fields)
        if not committed or not message:
            return None
        conversation, seq = _message_decoder.decode(message).conversation_id, committed.split(" ")[1]
        kept: Any = await self._redis.zrangebyscore(keys.REPLIES + conversation, seq, seq)
        responses = map(_response_decoder.decode, kept)
        return next((one.response.message for one in responses if one.message_id == message_id), None)

    async def delivery(self, message_id: str) -> dict[str, Any]:
        """The record of a delivery; also of one without a message: a test, or what another program published.

        Raises:
            NotFound: nothing was tried yet, or there is no such message.
        """
        if not (found := await self._delivery(message_id)):
            state = _status(await self._find(message_id, None))["state"]
            raise NotFound(f"Nothing was tried yet; the message is {state}.")
        return {"messageId": message_id, **found["delivery"]}

    async def _delivery(self, message_id: str, fields: tuple[str, ...] = ()) -> dict[str, Any]:
        found = await find_delivery(self._redis, message_id)
        if found is None:
            return {}
        known: dict[str, Any] = msgspec.to_builtins(found)
        return {"delivery": {name: known.get(name) for name in fields} if fields else known}


def _status(job: Job) -> dict[str, Any]:
    error = {} if job.state is State.COMPLETED else job.error  # what an earlier attempt met is in its record
    return {
        "messageId": job.message.message_id,
        "state": str(job.state),
        "progress": job.progress,
        "finishedOn": job.finished_on,
        "attempts": job.attempts,
        **({"error": {name: error.get(name) for name in ("class", "code", "text")}} if error else {}),
    }
