"""GET /metrics of a daemon, on a port of its own, and how long its event loop was kept waiting."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from msgctl import logs
from msgctl.config.settings import Settings
from msgctl.metrics import definitions as metrics
from msgctl.metrics.registry import CONTENT_TYPE, render
from msgctl.operations.measuring import Gauges
from msgctl.redisdb.client import RedisClient
from msgctl.tasks import background

PULSE = 0.25
"""Seconds between two looks at the event loop."""
PATIENCE = 5.0
"""Seconds a request may take."""
LONGEST_REQUEST = 8192

log = logs.get(__name__)


@contextlib.asynccontextmanager
async def measured(redis: RedisClient, settings: Settings) -> AsyncIterator[None]:
    """Serve the metrics for as long as the context lasts, unless `metrics.port` is 0.

    A port that is taken is told and costs the metrics, never the daemon.
    """
    if not settings.metrics.port:
        yield
        return
    door = Door(Gauges(settings, redis))
    try:
        server = await asyncio.start_server(
            door.answer, settings.metrics.host, settings.metrics.port, limit=LONGEST_REQUEST
        )
    except OSError as error:
        problem = error.strerror or str(error)
        log.warning("No metrics: one daemon a port, set metrics.port", port=settings.metrics.port, error=problem)
        yield
        return
    async with background(door.pulse()):
        try:
            yield
        finally:
            server.close()


class Door:
    """Answers one path, one request a connection.

    Args:
        gauges: brought up to date before each answer.
    """

    def __init__(self, gauges: Gauges) -> None:
        self._gauges = gauges
        self._lag = 0.0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request and close."""
        try:
            async with asyncio.timeout(PATIENCE):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(await self._respond(head))
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # whoever asked is gone, or asked nothing that ends
        except Exception:
            log.exception("The metrics cannot be told")
        finally:
            writer.close()

    async def pulse(self) -> None:
        """Note the longest delay between two looks, for ever."""
        while True:
            due = time.monotonic() + PULSE
            await asyncio.sleep(PULSE)
            self._lag = max(self._lag, time.monotonic() - due)

    async def _respond(self, head: bytes) -> bytes:
        method, path, *_ = [*head.split(b" ", 2), b"", b""]
        if path.partition(b"?")[0] != b"/metrics" or method not in {b"GET", b"HEAD"}:
            return _response("404 Not Found", b"Only GET /metrics is here.\n")
        await self._gauges.refresh()
        metrics.LOOP_LAG.set(self._lag)
        self._lag = 0.0
        return _response("200 OK", render(), head_only=method == b"HEAD")


def _response(status: str, body: bytes, *, head_only: bool = False) -> bytes:
    lines = (
        f"HTTP/1.1 {status}",
        f"Content-Type: {CONTENT_TYPE}",
        f"Content-Length: {len(body)}",
        "Connection: close",
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if head_only else body)
