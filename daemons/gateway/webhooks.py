"""`/webhooks/telegram`, `/webhooks/whatsapp`, `/webhooks/twilio`: what the providers bring.

Not part of the API for clients: no token, but each provider's own proof, looked at before the body is read.
"""

import asyncio
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from daemons.gateway.standing import Standing
from msgctl.channels.inbound import Inbound, StatusUpdate
from msgctl.channels.telegram import webhook as telegram
from msgctl.channels.whatsapp import cloud_webhook, twilio_webhook
from msgctl.config.settings import Settings
from msgctl.errors import BodyTooLarge, MalformedBody, Unavailable
from msgctl.inbound.reception import Reception

MAX_BODY = 1_048_576
"""Bytes a webhook may have; Meta gathers up to 1000 updates in one."""
NO_REPLY = '<?xml version="1.0" encoding="UTF-8"?><Response/>'
"""What Twilio is answered: nothing is to be sent at once."""


class Webhooks:
    """The routes.

    Args:
        settings: each provider's secrets.
        reception: takes in what they bring.
        standing: says when Redis has no room.
    """

    def __init__(self, settings: Settings, reception: Reception, standing: Standing) -> None:
        self._settings = settings
        self._reception = reception
        self._standing = standing

    def routes(self) -> list[Route]:
        """Where providers call."""
        return [
            Route("/webhooks/telegram", self.telegram, methods=["POST"]),
            Route("/webhooks/telegram/{bot:int}", self.telegram, methods=["POST"]),
            Route("/webhooks/whatsapp", self.challenge, methods=["GET"]),
            Route("/webhooks/whatsapp", self.whatsapp, methods=["POST"]),
            Route("/webhooks/twilio", self.twilio, methods=["POST"]),
        ]

    async def telegram(self, request: Request) -> Response:
        """One update."""
        secret = request.headers.get("x-telegram-bot-api-secret-token", "")
        bot = telegram.check(self._settings, secret, str(request.path_params.get("bot", "")))
        await self._take([telegram.read(self._settings, _document(await _body(request)), bot)])
        return Response(status_code=200)

    async def challenge(self, request: Request) -> Response:
        """Meta asks whether this webhook is ours."""
        asked = request.query_params
        cloud_webhook.check_challenge(self._settings, asked.get("hub.mode", ""), asked.get("hub.verify_token", ""))
        return PlainTextResponse(asked.get("hub.challenge", ""), headers={"x-content-type-options": "nosniff"})

    async def whatsapp(self, request: Request) -> Response:
        """Texts and statuses, many at once."""
        body = await _body(request)
        cloud_webhook.check(self._settings, request.headers.get("x-hub-signature-256", ""), body)
        await self._take(cloud_webhook.read(self._settings, _document(body)))
        return Response(status_code=200)

    async def twilio(self, request: Request) -> Response:
        """One text, or one status."""
        form = _form(await _body(request))
        query = f"?{request.url.query}" if request.url.query else ""
        signature = request.headers.get("x-twilio-signature", "")
        twilio_webhook.check(self._settings, signature, request.url.path + query, form)
        brought = twilio_webhook.read(self._settings, form, request.query_params.get("messageId", ""))
        await self._take([brought] if brought else [])
        return Response(NO_REPLY, media_type="text/xml")

    async def _take(self, brought: Iterable[Inbound]) -> None:
        """Take all of it in, what customers said in its order, or have the provider repeat it."""
        self._standing.demand_room()
        found = list(brought)
        receipts = [one for one in found if isinstance(one, StatusUpdate)]
        try:
            async with asyncio.timeout(self._settings.redis.timeout):
                for one in found:
                    if not isinstance(one, StatusUpdate):
                        await self._reception.take(one)
                await asyncio.gather(*(self._reception.take(one) for one in receipts))
        except TimeoutError:
            raise Unavailable("The queue or the agents' table took too long to answer.") from None


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise BodyTooLarge(f"The webhook has more than {MAX_BODY} bytes.")
    return bytes(body)


def _document(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise MalformedBody("The webhook is no JSON object.") from None


def _form(body: bytes) -> dict[str, str]:
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=200))
    except ValueError:
        raise MalformedBody("The webhook is no form.") from None
