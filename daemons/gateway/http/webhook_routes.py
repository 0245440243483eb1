"""`/webhooks/…`: what the providers bring; each channel says where, and reads it.

Not part of the API for clients: no token, but each provider's own proof, which the channel checks.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from daemons.gateway.readiness import Readiness
from msgctl.channels.inbound import Inbound, StatusUpdate
from msgctl.channels.registry import all_channels
from msgctl.channels.webhook import Webhook
from msgctl.config.settings import Settings
from msgctl.domain.errors import BodyTooLarge, Unavailable
from msgctl.inbound.processor import InboundProcessor

MAX_WEBHOOK_BYTES = 1_048_576
"""Bytes a webhook may have; Meta gathers up to 1000 updates in one."""


class _Call:
    """A request as `WebhookRequest` describes it."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self.headers: Mapping[str, str] = request.headers
        self.query: Mapping[str, str] = request.query_params
        self.path_parameters: Mapping[str, Any] = request.path_params

    @property
    def target(self) -> str:
        """The path with its query."""
        url = self._request.url
        return f"{url.path}?{url.query}" if url.query else url.path

    async def body(self) -> bytes:
        """Read the body, up to `MAX_WEBHOOK_BYTES`."""
        body = bytearray()
        async for chunk in self._request.stream():
            body += chunk
            if len(body) > MAX_WEBHOOK_BYTES:
                raise BodyTooLarge(f"The webhook has more than {MAX_WEBHOOK_BYTES} bytes.")
        return bytes(body)


class WebhookRoutes:
    """The routes of all channels.

    Args:
        settings: each provider's secrets.
        processor: takes in what they bring.
        readiness: says when Redis has no room.
    """

    def __init__(self, settings: Settings, processor: InboundProcessor, readiness: Readiness) -> None:
        self._settings = settings
        self._processor = processor
        self._readiness = readiness

    def routes(self) -> list[Route]:
        """Return where providers call.

        Raises:
            ConfigurationError: a channel that an extension adds cannot be loaded.
        """
        return [
            Route(webhook.path, self._endpoint(webhook), methods=list(webhook.methods))
            for channel in all_channels()
            for webhook in channel.webhooks
        ]

    def _endpoint(self, webhook: Webhook) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            result = await webhook.receive(self._settings, _Call(request))
            if result.received is not None:
                await self._process(result.received)
            return Response(result.body, media_type=result.media_type, headers=dict(result.headers))

        return answer

    async def _process(self, brought: Iterable[Inbound]) -> None:
        """Take all of it in, what customers said in its order, or have the provider repeat it."""
        self._readiness.require_capacity()
        found = list(brought)
        receipts = [one for one in found if isinstance(one, StatusUpdate)]
        try:
            async with asyncio.timeout(self._settings.redis.timeout):
                for one in found:
                    if not isinstance(one, StatusUpdate):
                        await self._processor.process(one)
                await asyncio.gather(*(self._processor.process(one) for one in receipts))
        except TimeoutError:
            raise Unavailable("The queue or the agents' table took too long to answer.") from None
