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

from msgctl.config.settings import Settings
from msgctl.observability import logs

SpanKindName = Literal["internal", "server", "client", "producer", "consumer"]

log = logs.get_logger(__name__)

_NO_SPAN: AbstractContextManager[None] = nullcontext()


class Tracer(Protocol):
    """What `otel` makes."""

    def span(
        self, name: str, ids: tuple[int, int], *, kind: SpanKindName, root: bool, attributes: dict[str, str | int]
    ) -> AbstractContextManager[None]:
        """A span while the context lasts."""
        ...

    def current_span_id(self) -> int:
        """The id of the span that is open in this task; 0 if none is."""
        ...

    def shutdown(self) -> None:
        """Send what is not sent yet."""
        ...


_tracers: list[Tracer] = []
"""The tracer of this process, if there is one."""


def start(settings: Settings, *, daemon: str) -> None:
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
    otel = import_module(
        "msgctl.observability.tracing.otel"
    )  # here alone, so that nothing is imported while it is off
    _tracers.append(otel.OtelTracer(endpoint, f"msgctl-{daemon}"))


def shutdown() -> None:
    """Send what is not sent yet, and make no more spans."""
    while _tracers:
        _tracers.pop().shutdown()


def span(
    name: str, message_id: str, *, kind: SpanKindName = "internal", root: bool = False, **attributes: str | int
) -> AbstractContextManager[None]:
    """A span of a message's trace while the context lasts.

    Args:
        name: what is done.
        message_id: decides the trace.
        kind: as OpenTelemetry has it.
        root: the one span that all others of the message descend from.
        attributes: attributes; never the text of a message, a phone number or a token.
    """
    if not _tracers:
        return _NO_SPAN
    return _tracers[0].span(
        name,
        derive_trace_ids(message_id),
        kind=kind,
        root=root,
        attributes={"messageId": message_id, **attributes},
    )


def traceparent(message_id: str) -> str:
    """W3C trace context: one trace for a message, whichever process or attempt speaks of it.

    https://www.w3.org/TR/trace-context/#traceparent-header
    """
    span = _tracers[0].current_span_id() if _tracers else 0
    return f"00-{derive_trace_ids(message_id)[0]:032x}-{f'{span:016x}' if span else secrets.token_hex(8)}-01"


def derive_trace_ids(message_id: str) -> tuple[int, int]:
    """The ids of a message's trace and of its root span."""
    digest = hashlib.sha256(message_id.encode()).digest()
    return int.from_bytes(digest[:16]), int.from_bytes(digest[16:24])
