"""The start and the end of every daemon: settings, logs, signals, READY=1, and the exit code.

A daemon is a coroutine `serve(settings, lifecycle)` that runs until `lifecycle.stopping` is set, and then drains.
"""

import argparse
import asyncio
import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from msgctl.config.settings import Settings
from msgctl.config.sources import load
from msgctl.domain.errors import MsgctlError, RedisUnavailable
from msgctl.observability import logs, sd_notify, tracing
from msgctl.operations.startup import check_startup
from msgctl.storage.redis.compatibility import CLUSTER_STATES
from msgctl.storage.redis.connections import ping_new_connection

CONNECT_POLL_INTERVAL_S = 0.5
"""Seconds between two attempts to reach Redis at the start."""
GC_INTERVAL_S = 60.0
"""Seconds between two forced collections of the youngest objects."""

log = logs.get_logger(__name__)


class Lifecycle:
    """The state of a daemon between its start and its end, driven by signals and reported to systemd.

    The first SIGTERM or SIGINT sets `stopping`: take no new work and finish the work in flight. The second one
    sets `force_stop`: requeue the work in flight immediately.
    """

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        self.force_stop = asyncio.Event()
        self._gc_runs = 0

    def install_signal_handlers(self) -> None:
        """Handle SIGTERM and SIGINT. Call this inside the running loop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)

    def notify_ready(self, status: str) -> None:
        """Report to systemd or `msgctl up` that this daemon can serve, and tune the garbage collector.

        Objects that exist now live until the end, so they are frozen. Objects of messages are nearly all freed by
        reference counting, so the collector runs every 10,000 objects instead of 700, which took 8 % of a worker's
        CPU. Reference cycles are rare (one for each INFO of Redis). They would take hours to add up to 10,000 and
        look like a leak, so a timer collects them once a minute.

        Args:
            status: one line for `systemctl status`.
        """
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 20, 20)
        self._collect_garbage()
        for handler in logging.getLogger().handlers:
            handler.flush()  # the parent may read the log as soon as it gets READY=1
        sd_notify.send("READY=1", f"STATUS={status}", f"MAINPID={os.getpid()}")

    def _collect_garbage(self) -> None:
        """Collect generation 0; each 20th time generation 1 too, and each 400th time everything."""
        self._gc_runs += 1
        gc.collect(2 if self._gc_runs % 400 == 0 else 1 if self._gc_runs % 20 == 0 else 0)
        asyncio.get_running_loop().call_later(GC_INTERVAL_S, self._collect_garbage)

    def _on_signal(self) -> None:
        if self.stopping.is_set():
            self.force_stop.set()
        else:
            sd_notify.send("STOPPING=1", "STATUS=stopping: finishing the work in flight")
            self.stopping.set()


ServeFunction = Callable[[Settings, Lifecycle], Awaitable[None]]


def main(name: str, serve: ServeFunction, arguments: argparse.Namespace | None = None) -> None:
    """Run a daemon until a signal stops it, and exit with its exit code.

    Args:
        name: `worker`, `subscriber`, or `gateway`.
        serve: the coroutine function of the daemon.
        arguments: parsed by `argument_parser`. None parses the command line of this process.

    Raises:
        SystemExit: the daemon failed. The error is on stderr.
    """
    arguments = arguments or argument_parser(name).parse_args()
    try:
        settings = load(arguments.config).settings
        check_startup(settings, name)
        logs.configure(settings, daemon=name)
        tracing.start(settings, daemon=name)
        try:
            uvloop.run(_run(serve, settings, arguments.wait))
        finally:
            tracing.shutdown()
    except MsgctlError as error:
        sys.stderr.write(f"{name}: {error.message}\n")
        raise SystemExit(error.exit_code) from None


def argument_parser(name: str) -> argparse.ArgumentParser:
    """Create the parser of the arguments that all daemons share. Everything else is a setting."""
    parser = argparse.ArgumentParser(prog=f"python -m daemons.{name}", description=f"The {name} of msgctl.")
    parser.add_argument("--config", type=Path, help="configuration file (else MSGCTL_CONFIG, ./config.toml)")
    parser.add_argument(
        "--wait",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="seconds to wait at the start until Redis takes a write; without this, exit code 69",
    )
    return parser


async def _run(serve: ServeFunction, settings: Settings, wait_s: float) -> None:
    lifecycle = Lifecycle()
    lifecycle.install_signal_handlers()
    if wait_s:
        await _wait_for_redis(settings, lifecycle, wait_s)
    if not lifecycle.stopping.is_set():
        await serve(settings, lifecycle)


async def _wait_for_redis(settings: Settings, lifecycle: Lifecycle, wait_s: float) -> None:
    """Return when Redis takes a write, a signal arrives, or the time is over. `serve` then reports an error.

    systemd limits the number of starts, so a Redis that starts later than this daemon must not cost any.
    """
    deadline = time.monotonic() + wait_s
    reported = False
    while not lifecycle.stopping.is_set() and time.monotonic() < deadline:
        try:
            await ping_new_connection(settings, check_write=True)
            break
        except RedisUnavailable as outage:
            if outage.state in CLUSTER_STATES:
                break  # `serve` refuses it
            if not reported:
                log.warning("Waiting for Redis", error=outage.message, patience=wait_s)
                sd_notify.send("STATUS=Redis takes no writes; waiting for it", timeout_s=0)
                reported = True
        await asyncio.sleep(CONNECT_POLL_INTERVAL_S)
