"""Several daemons as one: all are started and awaited, kept alive, and stopped together."""

import asyncio
import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Self

from msgctl.local.supervisor.child import Daemon


class Supervisor:
    """Keeps daemons running as long as its context is open.

    Args:
        daemons: what to run.
        grace_s: seconds they may take to leave after SIGTERM before they are killed.
    """

    def __init__(self, daemons: Sequence[Daemon], *, grace_s: float) -> None:
        self._daemons = daemons
        self._grace_s = grace_s
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Start all and wait until each has said that it is ready.

        Raises:
            ConfigurationError: one of them cannot run as it is configured.
        """
        self._tasks = [asyncio.create_task(daemon.run(), name=daemon.name) for daemon in self._daemons]
        ready = asyncio.create_task(self._all_ready())
        try:
            await asyncio.wait([ready, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
            if not ready.done():
                await self.watch()
        except BaseException:
            await self.stop()
            raise
        finally:
            ready.cancel()
        return self

    async def _all_ready(self) -> None:
        for daemon in self._daemons:
            await daemon.ready.wait()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def pids(self) -> dict[str, list[int]]:
        """The process ids of those that run, by kind."""
        pids: dict[str, list[int]] = defaultdict(list)
        for daemon in self._daemons:
            if daemon.pid is not None:
                pids[re.sub(r"-\d+$", "", daemon.name)].append(daemon.pid)
        return dict(pids)

    async def watch(self) -> None:
        """Return when one of them has ended for good; they restart, so that is a failure.

        Raises:
            ConfigurationError: one of them cannot run as it is configured.
        """
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    def terminate_all(self) -> None:
        """Tell those that drain to hand back at once."""
        for daemon in self._daemons:
            daemon.terminate()

    async def stop(self) -> None:
        """SIGTERM to all, wait for the drain, kill what is left; cancelled, kill at once."""
        running = [task for task in self._tasks if not task.done()]
        try:
            if running:
                self.terminate_all()  # the first SIGTERM only asks to drain
                await asyncio.wait(running, timeout=self._grace_s)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
