"""What a provider's webhook is to the gateway, whichever channel it belongs to."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qsl

import msgspec

from msgctl.channels.inbound import Inbound
from msgctl.config.settings import Settings
from msgctl.domain.errors import MalformedBody

PREFIX = "/webhooks/"
"""Every webhook's path begins so."""


class WebhookRequest(Protocol):
    """One call of a provider."""

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
        """The parameters of the query."""
        ...

    @property
    def path_parameters(self) -> Mapping[str, Any]:
        """What stands in the path for the names in braces."""
        ...

    async def body(self) -> bytes:
        """Return the body.

        Raises:
            BodyTooLarge: it is longer than a webhook may be.
        """
        ...


@dataclass(frozen=True)
class WebhookResult:
    """What a call brought, and what the provider is answered once that is stored.

    Args:
        received: what is to be stored; None for a call that brings nothing, such as a handshake.
        body: of the answer.
        media_type: of the answer.
        headers: of the answer.
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
        receive: authenticates a call and reads what it brings. Raises an `MsgctlError` to refuse it.
        methods: the HTTP methods it takes.
    """

    path: str
    receive: Callable[[Settings, WebhookRequest], Awaitable[WebhookResult]]
    methods: tuple[str, ...] = ("POST",)


def parse_json(body: bytes) -> dict[str, Any]:
    """Return a body as a JSON object.

    Raises:
        MalformedBody: it is anything else.
    """
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise MalformedBody("The webhook is no JSON object.") from None


def parse_form(body: bytes) -> dict[str, str]:
    """Return the fields of a URL-encoded form.

    Raises:
        MalformedBody: it is no form.
    """
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=200))
    except ValueError:
        raise MalformedBody("The webhook is no form.") from None
