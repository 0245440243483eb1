"""`GET /metrics` of a daemon on its own port, and the lag of its event loop."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from daemons.runtime.metrics_collector import MetricsCollector
from msgctl.aio import background
from msgctl.config.settings import Settings
from msgctl.observability import logs
from msgctl.observability.metrics import definitions as metrics
from msgctl.observability.metrics.registry import CONTENT_TYPE, render
from msgctl.storage.redis.client import RedisClient

LOOP_LAG_INTERVAL_S = 0.25
"""Seconds between two measurements of the event loop."""
METRICS_REQUEST_TIMEOUT_S = 5.0
"""Seconds a request may take."""
MAX_REQUEST_BYTES = 8192

log = logs.get_logger(__name__)


@contextlib.asynccontextmanager
async def serve_metrics(redis: RedisClient, settings: Settings) -> AsyncIterator[None]:
    """Serve the metrics while the context lasts, unless `metrics.port` is 0.

    If the port is taken, the daemon logs a warning and runs without metrics.
    """
    if not settings.metrics.port:
        yield
        return
    metrics_server = MetricsServer(MetricsCollector(settings, redis))
    try:
        server = await asyncio.start_server(
            metrics_server.handle_request, settings.metrics.host, settings.metrics.port, limit=MAX_REQUEST_BYTES
        )
    except OSError as error:
        problem = error.strerror or str(error)
        log.warning(
            "No metrics: the port is taken, set another metrics.port for each daemon",
            port=settings.metrics.port,
            error=problem,
        )
        yield
        return
    async with background(metrics_server.measure_loop_lag()):
        try:
            yield
        finally:
            server.close()


class MetricsServer:
    """Answers `/metrics`, one request for each connection.

    Args:
        collector: refreshes the gauges before each answer.
    """

    def __init__(self, collector: MetricsCollector) -> None:
        self._collector = collector
        self._max_lag_s = 0.0

    async def handle_request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request and close the connection."""
        try:
            async with asyncio.timeout(METRICS_REQUEST_TIMEOUT_S):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(await self._respond(head))
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the client has disconnected, or its request has no end
        except Exception:
            log.exception("Metrics could not be served")
        finally:
            writer.close()

    async def measure_loop_lag(self) -> None:
        """Record the longest delay of the event loop, until cancelled."""
        while True:
            due = time.monotonic() + LOOP_LAG_INTERVAL_S
            await asyncio.sleep(LOOP_LAG_INTERVAL_S)
            self._max_lag_s = max(self._max_lag_s, time.monotonic() - due)

    async def _respond(self, head: bytes) -> bytes:
        method, path, *_ = [*head.split(b" ", 2), b"", b""]
        if path.partition(b"?")[0] != b"/metrics" or method not in {b"GET", b"HEAD"}:
            return _encode_response("404 Not Found", b"Only GET /metrics is served here.\n")
        await self._collector.refresh()
        metrics.LOOP_LAG.set(self._max_lag_s)
        self._max_lag_s = 0.0
        return _encode_response("200 OK", render(), head_only=method == b"HEAD")


def _encode_response(status: str, body: bytes, *, head_only: bool = False) -> bytes:
    lines = (
        f"HTTP/1.1 {status}",
        f"Content-Type: {CONTENT_TYPE}",
        f"Content-Length: {len(body)}",
        "Connection: close",
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if head_only else body)
