"""`POST /api/messages` and `GET /api/messages/{id}/status`."""

import re
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from daemons.gateway.admission import Admission
from daemons.gateway.answers import JSON, succeed
from daemons.gateway.bodies import Accepted, AcceptedMessage, MessageStatus
from daemons.gateway.credentials import Credentials
from daemons.gateway.texts import Texts
from msgctl.errors import BodyTooLarge, InvalidInput, NotFound, UnsupportedMedia
from msgctl.intake import Receipt, parse_submission
from msgctl.messages import IDENTIFIER_PATTERN
from msgctl.operations.entrance import Operations

IDEMPOTENCY_KEY = re.compile(rb"[!-~]{1,255}")
_IDENTIFIER = re.compile(IDENTIFIER_PATTERN)
_HEADERS = [(b"content-type", JSON.encode()), (b"cache-control", b"no-store")]


class AcceptMessage:
    """Accepts a message. An ASGI application of its own, since most of a gateway's work is here.

    Args:
        credentials: says whose message it is.
        admission: takes it.
        texts: the language of the answer.
        max_body: bytes a body may have.
    """

    def __init__(self, credentials: Credentials, admission: Admission, *, texts: Texts, max_body: int) -> None:
        self._credentials = credentials
        self._admission = admission
        self._texts = texts
        self._max_body = max_body
        self._encoder = msgspec.json.Encoder()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        claims = await self._credentials.of_request(scope)
        headers: dict[bytes, bytes] = dict(scope["headers"])
        _check_type(headers)
        body = await self._read(headers, receive)
        if body is None:
            return  # the client is gone: nobody is left to answer
        receipt = await self._admission.accept(
            parse_submission(body), claims, idempotency_key=_idempotency_key(headers)
        )
        answer = self._encoder.encode(self._accepted(receipt))
        length = (b"content-length", str(len(answer)).encode())
        await send({"type": "http.response.start", "status": 202, "headers": [*_HEADERS, length]})
        await send({"type": "http.response.body", "body": answer})

    async def _read(self, headers: dict[bytes, bytes], receive: Receive) -> bytes | None:
        """The body, refused as soon as it is known to be too large."""
        if int(headers.get(b"content-length", b"0")) > self._max_body:
            raise _too_large(self._max_body)
        body, more = b"", True
        while more:
            event = await receive()
            if event["type"] == "http.disconnect":
                return None
            body += event.get("body", b"")
            more = event.get("more_body", False)
            if len(body) > self._max_body:
                raise _too_large(self._max_body)
        return body

    def _accepted(self, receipt: Receipt) -> Accepted:
        data = AcceptedMessage(
            message_id=receipt.message_id,
            conversation_id=receipt.conversation_id,
            job_id=receipt.message_id,
            estimated_time=self._texts.estimated_time,
        )
        return Accepted(message=self._texts.accepted, data=data)


class ReadStatus:
    """Tells where a message is.

    Args:
        credentials: says who asks.
        operations: knows.
    """

    def __init__(self, credentials: Credentials, operations: Operations) -> None:
        self._credentials = credentials
        self._operations = operations

    async def answer(self, request: Request) -> Response:
        """Answer one request."""
        user_id = (await self._credentials.of_request(request.scope)).user_id
        message_id: Any = request.path_params["id"]
        if not _IDENTIFIER.match(message_id):
            raise NotFound("No message can be called so.")
        status = await self._operations.status(message_id, user_id=user_id)
        return succeed(msgspec.convert(status, MessageStatus))


def _check_type(headers: dict[bytes, bytes]) -> None:
    media = headers.get(b"content-type", b"").split(b";", 1)[0]
    if media.strip().lower() != b"application/json" or b"content-encoding" in headers:
        raise UnsupportedMedia("Send the body as application/json, not compressed.")


def _idempotency_key(headers: dict[bytes, bytes]) -> str:
    key = headers.get(b"idempotency-key")
    if key is None:
        return ""
    if not IDEMPOTENCY_KEY.fullmatch(key):
        problem = "Expected 1 to 255 visible ASCII characters"
        raise InvalidInput("The Idempotency-Key.", details=[{"field": "Idempotency-Key", "problem": problem}])
    return key.decode("ascii")


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body has more than {limit} bytes.")
