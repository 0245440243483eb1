"""The routes `POST /api/messages` and `GET /api/messages/{id}/status`."""

import re
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from daemons.gateway.auth.authenticator import Authenticator
from daemons.gateway.http.responses import JSON_MEDIA_TYPE, success_response
from daemons.gateway.http.schemas import Accepted, AcceptedMessage, MessageStatus
from daemons.gateway.service import GatewayService
from daemons.gateway.translations import Texts
from msgctl.domain.errors import BodyTooLarge, InvalidInput, NotFound, UnsupportedMedia
from msgctl.domain.messages import IDENTIFIER_PATTERN
from msgctl.intake.accept import AcceptReceipt, parse_submission
from msgctl.operations.context import Context
from msgctl.operations.messages.lookup import Messages

IDEMPOTENCY_KEY_PATTERN = re.compile(rb"[!-~]{1,255}")
_IDENTIFIER_REGEX = re.compile(IDENTIFIER_PATTERN)
_JSON_HEADERS = [(b"content-type", JSON_MEDIA_TYPE.encode()), (b"cache-control", b"no-store")]


class AcceptMessage:
    """Accepts a message. It is an ASGI application for speed, because most requests come here.

    Args:
        authenticator: identifies the user.
        service: accepts the message.
        texts: the texts of the response.
        max_body: the maximum size of a body in bytes.
    """

    def __init__(
        self, authenticator: Authenticator, service: GatewayService, *, texts: Texts, max_body: int
    ) -> None:
        self._authenticator = authenticator
        self._service = service
        self._texts = texts
        self._max_body_bytes = max_body
        self._encoder = msgspec.json.Encoder()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        claims = await self._authenticator.authenticate_request(scope)
        headers: dict[bytes, bytes] = dict(scope["headers"])
        _check_content_type(headers)
        body = await self._read(headers, receive)
        if body is None:
            return  # the client has disconnected
        receipt = await self._service.accept(
            parse_submission(body), claims, idempotency_key=_idempotency_key(headers)
        )
        content = self._encoder.encode(self._accepted(receipt))
        length = (b"content-length", str(len(content)).encode())
        await send({"type": "http.response.start", "status": 202, "headers": [*_JSON_HEADERS, length]})
        await send({"type": "http.response.body", "body": content})

    async def _read(self, headers: dict[bytes, bytes], receive: Receive) -> bytes | None:
        """Read the body. Refuse it as soon as it is too large. Return None if the client disconnects."""
        if int(headers.get(b"content-length", b"0")) > self._max_body_bytes:
            raise _too_large(self._max_body_bytes)
        body, more = b"", True
        while more:
            event = await receive()
            if event["type"] == "http.disconnect":
                return None
            body += event.get("body", b"")
            more = event.get("more_body", False)
            if len(body) > self._max_body_bytes:
                raise _too_large(self._max_body_bytes)
        return body

    def _accepted(self, receipt: AcceptReceipt) -> Accepted:
        data = AcceptedMessage(
            message_id=receipt.message_id,
            conversation_id=receipt.conversation_id,
            job_id=receipt.message_id,
            estimated_time=self._texts.estimated_time,
        )
        return Accepted(message=self._texts.accepted, data=data)


class ReadStatus:
    """Answers with the state of a message.

    Args:
        authenticator: identifies the user.
        context: reads the state of messages.
    """

    def __init__(self, authenticator: Authenticator, context: Context) -> None:
        self._authenticator = authenticator
        self._messages = context.get(Messages)

    async def answer(self, request: Request) -> Response:
        """Answer one request."""
        user_id = (await self._authenticator.authenticate_request(request.scope)).user_id
        message_id: Any = request.path_params["id"]
        if not _IDENTIFIER_REGEX.match(message_id):
            raise NotFound("The message id is invalid. Use the messageId that was returned.")
        status = await self._messages.status(message_id, user_id=user_id)
        return success_response(msgspec.convert(status, MessageStatus))


def _check_content_type(headers: dict[bytes, bytes]) -> None:
    media = headers.get(b"content-type", b"").split(b";", 1)[0]
    if media.strip().lower() != b"application/json" or b"content-encoding" in headers:
        raise UnsupportedMedia("Send the body as uncompressed application/json.")


def _idempotency_key(headers: dict[bytes, bytes]) -> str:
    key = headers.get(b"idempotency-key")
    if key is None:
        return ""
    if not IDEMPOTENCY_KEY_PATTERN.fullmatch(key):
        problem = "Expected 1 to 255 visible ASCII characters"
        raise InvalidInput(
            "The Idempotency-Key is invalid.", details=[{"field": "Idempotency-Key", "problem": problem}]
        )
    return key.decode("ascii")


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body has more than {limit} bytes. Send a shorter one.")
