"""GET /metrics of a daemon, on a port of its own, and how long its event loop was kept waiting."""

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
"""Seconds between two looks at the event loop."""
METRICS_REQUEST_TIMEOUT_S = 5.0
"""Seconds a request may take."""
MAX_REQUEST_BYTES = 8192

log = logs.get_logger(__name__)


@contextlib.asynccontextmanager
async def serve_metrics(redis: RedisClient, settings: Settings) -> AsyncIterator[None]:
    """Serve the metrics for as long as the context lasts, unless `metrics.port` is 0.

    A port that is taken is told and costs the metrics, never the daemon.
    """
    if not settings.metrics.port:
        yield
        return
    door = MetricsServer(MetricsCollector(settings, redis))
    try:
        server = await asyncio.start_server(
            door.handle_request, settings.metrics.host, settings.metrics.port, limit=MAX_REQUEST_BYTES
        )
    except OSError as error:
        problem = error.strerror or str(error)
        log.warning("No metrics: one daemon a port, set metrics.port", port=settings.metrics.port, error=problem)
        yield
        return
    async with background(door.measure_loop_lag()):
        try:
            yield
        finally:
            server.close()


class MetricsServer:
    """Answers one path, one request a connection.

    Args:
        gauges: brought up to date before each answer.
    """

    def __init__(self, gauges: MetricsCollector) -> None:
        self._collector = gauges
        self._max_lag_s = 0.0

    async def handle_request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request and close."""
        try:
            async with asyncio.timeout(METRICS_REQUEST_TIMEOUT_S):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(await self._respond(head))
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # whoever asked is gone, or asked nothing that ends
        except Exception:
            log.exception("The metrics cannot be told")
        finally:
            writer.close()

    async def measure_loop_lag(self) -> None:
        """Note the longest delay between two looks, for ever."""
        while True:
            due = time.monotonic() + LOOP_LAG_INTERVAL_S
            await asyncio.sleep(LOOP_LAG_INTERVAL_S)
            self._max_lag_s = max(self._max_lag_s, time.monotonic() - due)

    async def _respond(self, head: bytes) -> bytes:
        method, path, *_ = [*head.split(b" ", 2), b"", b""]
        if path.partition(b"?")[0] != b"/metrics" or method not in {b"GET", b"HEAD"}:
            return _encode_response("404 Not Found", b"Only GET /metrics is here.\n")
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
