"""One daemon under supervision: started, heard, awaited, and started again when it dies."""

import asyncio
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress

from msgctl.errors import ConfigurationError
from msgctl.notify import Readiness
from msgctl.stack import process
from msgctl.stack.process import Command

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 30.0
"""Seconds before a daemon that died is started again; doubled each time."""
STEADY = 10.0
"""Seconds after which a daemon that dies is not one that cannot start."""
CONFIGURATION = ConfigurationError.exit_code

Emit = Callable[[str, str], None]
"""Takes the name of a daemon and a line of its output."""


class Daemon:
    """One process of ours, `python -m MODULE ARGUMENTS`.

    Args:
        name: what its lines begin with, e.g. `worker-1`.
        words: the module and its arguments.
        environment: its environment.
        descriptors: file descriptors that it inherits.
        emit: told each line it writes.
    """

    def __init__(
        self,
        name: str,
        words: Sequence[str],
        environment: Mapping[str, str],
        emit: Emit,
        *,
        descriptors: Sequence[int] = (),
    ) -> None:
        self.name = name
        self.ready = asyncio.Event()
        """Set once it has said READY=1 for the first time."""
        self._words = words
        self._environment = environment
        self._descriptors = descriptors
        self._emit = emit
        self._stopping = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._last_lines: deque[str] = deque(maxlen=20)

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def run(self) -> None:
        """Keep it running until `terminate`; cancelled, kill it.

        Raises:
            ConfigurationError: it left with exit code 78, so starting it again cannot help.
        """
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            begun = asyncio.get_running_loop().time()
            code = await self._run_once()
            if self._stopping.is_set():
                return
            if code == CONFIGURATION:
                raise ConfigurationError(self._last_words())
            if asyncio.get_running_loop().time() - begun > STEADY:
                pause = FIRST_PAUSE
            self._emit(self.name, f"died ({_describe(code)}), starts again in {pause:.1f} s")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def terminate(self) -> None:
        """Send SIGTERM: at first it drains and leaves; told again, it hands back what runs at once."""
        self._stopping.set()
        if self.pid is not None:
            os.kill(self.pid, signal.SIGTERM)

    async def _run_once(self) -> int:
        with closing(Readiness()) as readiness:
            self._process = await process.spawn(self._command(readiness.address))
            if self._stopping.is_set():  # told to stop while it was being started
                self.terminate()
            beside = [
                asyncio.create_task(self._announce(readiness)),
                asyncio.create_task(self._listen(self._process)),
            ]
            try:
                code = await self._process.wait()
                await asyncio.wait(beside[1:], timeout=1)  # its last lines
            finally:
                for task in beside:
                    task.cancel()
                await asyncio.gather(*beside, return_exceptions=True)
                await process.stop(self._process, signal.SIGKILL, grace=0)
        return code

    async def _announce(self, readiness: Readiness) -> None:
        await readiness.wait()
        self.ready.set()

    async def _listen(self, running: asyncio.subprocess.Process) -> None:
        assert running.stdout  # noqa: S101 - for the type checker: a command without a log has a pipe
        while True:
            try:
                line = await running.stdout.readline()
            except ValueError:
                continue  # a line beyond all bounds: asyncio has dropped it
            if not line:
                return
            text = line.decode("utf-8", "replace").rstrip()
            self._last_lines.append(text)
            self._emit(self.name, text)

    def _command(self, notify_address: str) -> Command:
        # Killed by the kernel when we are: its messages' leases run out, and another worker takes them. A SIGTERM
        # would let it drain for minutes against servers that left with us.
        return Command(
            [sys.executable, "-m", *self._words],
            environment={**self._environment, "NOTIFY_SOCKET": notify_address, "PYTHONUNBUFFERED": "1"},
            descriptors=self._descriptors,
            death_signal=signal.SIGKILL,
        )

    def _last_words(self) -> str:
        """What it wrote on its way out, without its own name in front."""
        last = next((line for line in reversed(self._last_lines) if line), "the configuration is not acceptable")
        return last.partition(": ")[2] or last


def _describe(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
