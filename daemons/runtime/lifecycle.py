"""What every daemon does alike: settings, logs, signals, READY=1, an exit code that means something.

A daemon is a coroutine `serve(settings, life)` that runs until `life.stopping` is set, and then drains.
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
from msgctl.storage.redis.connections import ping_new_connection

CONNECT_POLL_INTERVAL_S = 0.5
"""Seconds between two looks whether Redis answers by now."""
GC_INTERVAL_S = 60.0
"""Seconds between two looks at what is young for rings of garbage, when little else makes Python look."""

log = logs.get_logger(__name__)


class Lifecycle:
    """The span of a daemon's life, as signals and systemd see it.

    The first SIGTERM or SIGINT sets `stopping`: take nothing new, finish what runs. A second one sets `hurried`:
    hand back what runs, now.
    """

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        self.force_stop = asyncio.Event()
        self._gc_runs = 0

    def install_signal_handlers(self) -> None:
        """Listen to the signals, from within the running loop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)

    def notify_ready(self, status: str) -> None:
        """Tell whoever started us (systemd, `msgctl up`) that we can serve.

        What was made until now stays, so the garbage collector need not look at it again; at what comes and goes
        with the messages, nearly all of it freed by counting, it looks every 10,000 objects instead of 700:
        that was 8 % of a worker's CPU. Of rings of garbage there are so few (one each time Redis tells its INFO)
        that they would gather for hours until they are 10,000, and look like a leak: once a minute they go.
        """
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 20, 20)
        self._collect_garbage()
        for handler in logging.getLogger().handlers:
            handler.flush()  # whoever waits for it has read what led to it
        sd_notify.send("READY=1", f"STATUS={status}", f"MAINPID={os.getpid()}")

    def _collect_garbage(self) -> None:
        """Look at the youngest; at what outlived a look each 20th time, and at everything each 400th."""
        self._gc_runs += 1
        gc.collect(2 if self._gc_runs % 400 == 0 else 1 if self._gc_runs % 20 == 0 else 0)
        asyncio.get_running_loop().call_later(GC_INTERVAL_S, self._collect_garbage)

    def _on_signal(self) -> None:
        if self.stopping.is_set():
            self.force_stop.set()
        else:
            sd_notify.send("STOPPING=1", "STATUS=stopping: what runs may end")
            self.stopping.set()


ServeFunction = Callable[[Settings, Lifecycle], Awaitable[None]]


def main(name: str, serve: ServeFunction, arguments: argparse.Namespace | None = None) -> None:
    """Run a daemon until it is told to stop, and leave the process with its exit code.

    Args:
        name: worker, subscriber or gateway.
        serve: the daemon itself.
        arguments: of `argument_parser`; None parses this process's own.
    """
    arguments = arguments or argument_parser(name).parse_args()
    try:
        settings = load(arguments.config).settings
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
    """The arguments all daemons share; everything else is a setting (flag > environment > file)."""
    parser = argparse.ArgumentParser(prog=f"python -m daemons.{name}", description=f"The {name} of msgctl.")
    parser.add_argument("--config", type=Path, help="configuration file (else MSGCTL_CONFIG, ./config.toml)")
    parser.add_argument(
        "--wait",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="wait so long for Redis at the start, instead of leaving at once with 69 (for who counts starts)",
    )
    return parser


async def _run(serve: ServeFunction, settings: Settings, wait_s: float) -> None:
    life = Lifecycle()
    life.install_signal_handlers()
    if wait_s:
        await _wait_for_redis(settings, life, wait_s)
    if not life.stopping.is_set():
        await serve(settings, life)


async def _wait_for_redis(settings: Settings, lifecycle: Lifecycle, wait_s: float) -> None:
    """Return once Redis answers, once told to stop, or out of patience: `serve` then says what is wrong.

    systemd counts starts and gives up for good; a Redis that comes up after us must not be a matter of luck.
    """
    deadline = time.monotonic() + wait_s
    told = False
    while not lifecycle.stopping.is_set() and time.monotonic() < deadline:
        try:
            await ping_new_connection(settings)
            break
        except RedisUnavailable as outage:
            if not told:
                log.warning("Waiting for Redis", error=outage.message, patience=wait_s)
                sd_notify.send("STATUS=Redis does not answer; waiting for it", timeout_s=0)
                told = True
        await asyncio.sleep(CONNECT_POLL_INTERVAL_S)
