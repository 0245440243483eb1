"""One trace a message, through gateway, worker, n8n, stream and delivery; without a collector it costs nothing.

Nothing has to travel with the message: the id of its trace, and of the root span in it, follow from its own id.
OpenTelemetry is imported only by `begin`, and only where `tracing.endpoint` is set.
"""

import hashlib
import secrets
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from importlib.util import find_spec
from typing import Literal, Protocol

from msgctl import logs
from msgctl.config.settings import Settings

Kind = Literal["internal", "server", "client", "producer", "consumer"]

log = logs.get(__name__)

_OFF: AbstractContextManager[None] = nullcontext()


class Tracer(Protocol):
    """What `otel` makes."""

    def span(
        self, name: str, ids: tuple[int, int], *, kind: Kind, root: bool, facts: dict[str, str | int]
    ) -> AbstractContextManager[None]:
        """A span while the context lasts."""
        ...

    def current(self) -> int:
        """The id of the span that is open in this task; 0 if none is."""
        ...

    def end(self) -> None:
        """Send what is not sent yet."""
        ...


_tracers: list[Tracer] = []
"""The tracer of this process, if there is one."""


def begin(settings: Settings, *, daemon: str) -> None:
    """Make spans from here on, if `tracing.endpoint` is set and OpenTelemetry is installed.

    Args:
        settings: `tracing.*`.
        daemon: the service's name is `msgctl-DAEMON`.
    """
    endpoint = settings.tracing.endpoint
    if not endpoint:
        return
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None:
        log.warning("No spans: OpenTelemetry is not installed. Get it: pip install 'msgctl[tracing]'")
        return
    otel = import_module("msgctl.spans.otel")  # here alone, so that nothing is imported while it is off
    _tracers.append(otel.OtelTracer(endpoint, f"msgctl-{daemon}"))


def end() -> None:
    """Send what is not sent yet, and make no more spans."""
    while _tracers:
        _tracers.pop().end()


def of(
    name: str, message_id: str, *, kind: Kind = "internal", root: bool = False, **facts: str | int
) -> AbstractContextManager[None]:
    """A span of a message's trace while the context lasts.

    Args:
        name: what is done.
        message_id: decides the trace.
        kind: as OpenTelemetry has it.
        root: the one span that all others of the message descend from.
        facts: attributes; never the text of a message, a phone number or a token.
    """
    if not _tracers:
        return _OFF
    return _tracers[0].span(name, ids(message_id), kind=kind, root=root, facts={"messageId": message_id, **facts})


def traceparent(message_id: str) -> str:
    """W3C trace context: one trace for a message, whichever process or attempt speaks of it.

    https://www.w3.org/TR/trace-context/#traceparent-header
    """
    span = _tracers[0].current() if _tracers else 0
    return f"00-{ids(message_id)[0]:032x}-{f'{span:016x}' if span else secrets.token_hex(8)}-01"


def ids(message_id: str) -> tuple[int, int]:
    """The ids of a message's trace and of its root span."""
    digest = hashlib.sha256(message_id.encode()).digest()
    return int.from_bytes(digest[:16]), int.from_bytes(digest[16:24])
