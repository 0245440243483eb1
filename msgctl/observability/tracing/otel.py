"""Spans by OpenTelemetry, sent over HTTP in batches by a thread of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags

from msgctl.observability.tracing import SpanKindName

_SPAN_KINDS = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
}
_root_ids: ContextVar[tuple[int, int] | None] = ContextVar("wanted", default=None)


class DerivedIdGenerator(RandomIdGenerator):
    """Gives a root span the ids that follow from its message."""

    def generate_trace_id(self) -> int:
        """The wanted one, else a random one."""
        wanted = _root_ids.get()
        return wanted[0] if wanted else super().generate_trace_id()

    def generate_span_id(self) -> int:
        """The wanted one, else a random one."""
        wanted = _root_ids.get()
        return wanted[1] if wanted else super().generate_span_id()


class OtelTracer:
    """Makes spans and sends them.

    Args:
        endpoint: the collector's address; `/v1/traces` is added.
        service: the name of this service.
    """

    def __init__(self, endpoint: str, service: str) -> None:
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": service}),
            id_generator=DerivedIdGenerator(),
            shutdown_on_exit=False,
        )
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
        self._provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=1000))
        self._tracer = self._provider.get_tracer("msgctl")

    @contextmanager
    def span(
        self, name: str, ids: tuple[int, int], *, kind: SpanKindName, root: bool, attributes: dict[str, str | int]
    ) -> Iterator[None]:
        """A span while the context lasts, below the one that is open or below the message's root."""
        context = None if trace.get_current_span().get_span_context().trace_id == ids[0] else _context_of(*ids)
        chosen = _root_ids.set(ids if root else None)
        try:
            started = self._tracer.start_span(
                name,
                trace.set_span_in_context(trace.INVALID_SPAN) if root else context,
                _SPAN_KINDS[kind],
                attributes,
            )
        finally:
            _root_ids.reset(chosen)
        with trace.use_span(started, end_on_exit=True, record_exception=False):
            yield

    def current_span_id(self) -> int:
        """The id of the span that is open in this task; 0 if none is."""
        return trace.get_current_span().get_span_context().span_id

    def shutdown(self) -> None:
        """Send what is not sent yet."""
        self._provider.shutdown()


def _context_of(trace_id: int, span_id: int) -> Context:
    flags = TraceFlags(TraceFlags.SAMPLED)
    return trace.set_span_in_context(
        NonRecordingSpan(SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags))
    )
