"""Worker processes that are killed and frozen at random, and replaced at once."""

import asyncio
import os
import random
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, Process
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from msgctl.config.settings import Settings
from tools.support.daemons import environment

WORKER = ("-m", "daemons.worker")


@dataclass(frozen=True)
class Kill:
    """A kill -9."""

    pid: int
    at: float
    """Unix milliseconds."""


class Crew:
    """Keeps a number of workers running, whatever happens to them.

    Args:
        settings: handed to each in its environment.
        size: how many.
        program: what each runs, by this very Python.
    """

    def __init__(self, settings: Settings, size: int, *, program: tuple[str, ...] = WORKER) -> None:
        self._environment = environment(settings)
        self._program = program
        self._size = size
        self._running: dict[int, Process] = {}
        self._stopping = False
        self.deaths = 0
        """Workers that ended before they were told to."""
        self.kills: list[Kill] = []
        """Those that were killed here, oldest first."""

    async def __aenter__(self) -> Self:
        self._posts = [asyncio.create_task(self._man(post)) for post in range(self._size)]
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._stopping = True
        for process in self._running.values():
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.terminate()
        await asyncio.gather(*self._posts)

    @property
    def pids(self) -> list[int]:
        """The processes that run."""
        return [process.pid for process in self._running.values() if process.returncode is None]

    def kill_one(self) -> bool:
        """Kill -9 any of them; False if none was running."""
        process = self._choose()
        if process is None:
            return False
        self._signal(process, signal.SIGKILL)
        self.kills.append(Kill(process.pid, time.time() * 1000))
        return True

    async def freeze_one(self, seconds: float) -> None:
        """SIGSTOP any of them, and let it go on after a while, if it still lives."""
        process = self._choose()
        self._signal(process, signal.SIGSTOP)
        await asyncio.sleep(seconds)
        self._signal(process, signal.SIGCONT)

    def _choose(self) -> Process | None:
        return random.choice(list(self._running.values())) if self._running else None

    def _signal(self, process: Process | None, number: int) -> None:
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(process.pid, number)

    async def _man(self, post: int) -> None:
        while not self._stopping:
            process = await asyncio.create_subprocess_exec(
                sys.executable, *self._program, env=self._environment, stdout=DEVNULL, stderr=DEVNULL
            )
            self._running[post] = process
            if self._told_to_stop():  # while it was being started
                process.terminate()
            await process.wait()
            del self._running[post]
            self.deaths += not self._told_to_stop()

    def _told_to_stop(self) -> bool:
        return self._stopping
