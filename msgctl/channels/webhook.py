"""The interface between a provider's webhook and the gateway, for every channel."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qsl

from msgctl.channels.inbound import Inbound
from msgctl.config.settings import Settings
from msgctl.domain.errors import MalformedBody
from msgctl.domain.foreign_json import InvalidForeignJson, decode_foreign_json

PREFIX = "/webhooks/"
"""The prefix of every webhook's path."""


class WebhookRequest(Protocol):
    """One request of a provider."""

    @property
    def target(self) -> str:
        """The path with its query, as it was requested."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers; names are compared without regard to case."""
        ...

    @property
    def query(self) -> Mapping[str, str]:
        """The query parameters."""
        ...

    @property
    def path_parameters(self) -> Mapping[str, Any]:
        """The values of the path parameters."""
        ...

    async def body(self) -> bytes:
        """Return the body.

        Raises:
            BodyTooLarge: it is longer than the limit for webhooks.
        """
        ...


@dataclass(frozen=True)
class WebhookResult:
    """The items of a webhook, and the answer that the provider gets once they are stored.

    Args:
        received: the items to store; None for a request without any, such as a handshake.
        body: the body of the answer.
        media_type: the media type of the answer.
        headers: the headers of the answer.
    """

    received: Iterable[Inbound] | None
    body: str = ""
    media_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Webhook:
    """One route of the gateway.

    Args:
        path: begins with `/webhooks/`; Starlette's syntax for parameters.
        receive: authenticates a request and parses its items; it raises an `MsgctlError` to reject the request.
        methods: the HTTP methods that it accepts.
    """

    path: str
    receive: Callable[[Settings, WebhookRequest], Awaitable[WebhookResult]]
    methods: tuple[str, ...] = ("POST",)


def parse_json(body: bytes) -> dict[str, Any]:
    """Return a body as a JSON object, with the usual mistakes of its writer forgiven.

    Raises:
        MalformedBody: it is not a JSON object.
    """
    try:
        document = decode_foreign_json(body)
    except InvalidForeignJson:
        document = None
    if not isinstance(document, dict):
        raise MalformedBody("The webhook is not a JSON object.")
    return document


def parse_form(body: bytes) -> list[tuple[str, str]]:
    """Return the fields of a URL-encoded form in their order; a name may occur several times.

    Raises:
        MalformedBody: it is not a form.
    """
    try:
        return parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=200)
    except ValueError:
        raise MalformedBody("The webhook is not a form.") from None
