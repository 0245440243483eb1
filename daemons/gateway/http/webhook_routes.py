"""The routes `/webhooks/…` for the calls of providers. Each channel defines its paths and parses the calls.

They are not part of the API for clients. Instead of a token, the channel checks the proof of its provider.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from daemons.gateway.readiness import Readiness
from msgctl.channels.inbound import Inbound
from msgctl.channels.registry import all_channels
from msgctl.channels.webhook import Webhook
from msgctl.config.settings import Settings
from msgctl.domain.errors import BodyTooLarge
from msgctl.inbound.batch import InboundBatch
from msgctl.inbound.processor import InboundProcessor

MAX_WEBHOOK_BYTES = 1_048_576
"""The maximum size of a webhook in bytes. Meta sends up to 1000 updates in one."""


class _Call:
    """Adapts a request to `WebhookRequest`."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self.headers: Mapping[str, str] = request.headers
        self.query: Mapping[str, str] = request.query_params
        self.path_parameters: Mapping[str, Any] = request.path_params

    @property
    def target(self) -> str:
        """The path with the query string, as the provider sent and signed them."""
        scope = self._request.scope
        query = scope["query_string"]
        target: bytes = scope["raw_path"] + (b"?" + query if query else b"")
        return target.decode("latin-1")

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
        settings: the secrets of the providers.
        processor: processes messages and status updates.
        readiness: rejects webhooks while Redis has no memory.
    """

    def __init__(self, settings: Settings, processor: InboundProcessor, readiness: Readiness) -> None:
        self._settings = settings
        self._processor = processor
        self._readiness = readiness

    def routes(self) -> list[Route]:
        """Return one route for each webhook.

        Raises:
            ConfigurationError: a channel that an extension adds cannot be loaded.
        """
        return [
            Route(webhook.path, self._endpoint(channel.name, webhook), methods=list(webhook.methods))
            for channel in all_channels()
            for webhook in channel.webhooks
        ]

    def _endpoint(self, channel: str, webhook: Webhook) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            result = await webhook.receive(self._settings, _Call(request))
            if result.received is not None:
                await self._process(channel, result.received)
            return Response(result.body, media_type=result.media_type, headers=dict(result.headers))

        return answer

    async def _process(self, channel: str, received: Iterable[Inbound]) -> None:
        """Process every record. On an error, which is the worst of all records, the provider repeats the call."""
        self._readiness.require_capacity()
        await InboundBatch(self._processor, channel, self._settings.redis.timeout).process(received)
