"""Signals for a command that has started things: the first one stops them in order, a further one hurries."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """The first signal cancels the command's task, so that each open context stops what it has started.

    A further one calls `hurry`; it never cancels again, which would cut short the stopping itself.
    """

    def __init__(self) -> None:
        self.received = False
        """Whether there was a signal."""
        self.on_repeat: Callable[[], None] = lambda: None
        """What a further signal does."""

    def install(self, task: "asyncio.Task[Any]") -> None:
        """Listen, from within the running loop."""
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, self._on_signal, task)

    def _on_signal(self, task: "asyncio.Task[Any]") -> None:
        if self.received:
            self.on_repeat()
        else:
            self.received = True
            task.cancel()


def run_interruptible(main: Callable[[Interrupts], Coroutine[Any, Any, None]]) -> bool:
    """Run a command to its end (True) or until a signal has stopped it in order (False)."""
    interrupts = Interrupts()

    async def attended() -> None:
        task = asyncio.create_task(main(interrupts))
        interrupts.install(task)
        try:
            await task
        except asyncio.CancelledError:
            if not interrupts.received:
                raise

    asyncio.run(attended())
    return not interrupts.received
