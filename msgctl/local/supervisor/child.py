"""One daemon under supervision: started, heard, awaited, and started again when it dies."""

import asyncio
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress

from msgctl.domain.errors import ConfigurationError
from msgctl.local.supervisor import process
from msgctl.local.supervisor.process import ProcessSpec
from msgctl.observability.sd_notify import NotifySocket

MIN_DAEMON_RESTART_PAUSE_S, MAX_DAEMON_RESTART_PAUSE_S = 0.2, 30.0
"""Seconds before a daemon that died is started again; doubled each time."""
STABLE_AFTER_S = 10.0
"""Seconds after which a daemon that dies is not one that cannot start."""
CONFIGURATION_EXIT_CODE = ConfigurationError.exit_code

EmitLine = Callable[[str, str], None]
"""Takes the name of a daemon and a line of its output."""


class Daemon:
    """One process of ours, `python -m MODULE ARGUMENTS`.

    Args:
        name: what its lines begin with, e.g. `worker-1`.
        argv: the module and its arguments.
        environment: its environment.
        descriptors: file descriptors that it inherits.
        emit: told each line it writes.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        environment: Mapping[str, str],
        emit: EmitLine,
        *,
        descriptors: Sequence[int] = (),
    ) -> None:
        self.name = name
        self.ready = asyncio.Event()
        """Set once it has said READY=1 for the first time."""
        self._argv = argv
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
        pause = MIN_DAEMON_RESTART_PAUSE_S
        while not self._stopping.is_set():
            begun = asyncio.get_running_loop().time()
            code = await self._run_once()
            if self._stopping.is_set():
                return
            if code == CONFIGURATION_EXIT_CODE:
                raise ConfigurationError(self._last_output_line())
            if asyncio.get_running_loop().time() - begun > STABLE_AFTER_S:
                pause = MIN_DAEMON_RESTART_PAUSE_S
            self._emit(self.name, f"died ({_describe_exit(code)}), starts again in {pause:.1f} s")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
            pause = min(pause * 2, MAX_DAEMON_RESTART_PAUSE_S)

    def terminate(self) -> None:
        """Send SIGTERM: at first it drains and leaves; told again, it hands back what runs at once."""
        self._stopping.set()
        if self.pid is not None:
            os.kill(self.pid, signal.SIGTERM)

    async def _run_once(self) -> int:
        with closing(NotifySocket()) as readiness:
            self._process = await process.spawn(self._command(readiness.address))
            if self._stopping.is_set():  # told to stop while it was being started
                self.terminate()
            beside = [
                asyncio.create_task(self._await_ready(readiness)),
                asyncio.create_task(self._forward_output(self._process)),
            ]
            try:
                code = await self._process.wait()
                await asyncio.wait(beside[1:], timeout=1)  # its last lines
            finally:
                for task in beside:
                    task.cancel()
                await asyncio.gather(*beside, return_exceptions=True)
                await process.stop(self._process, signal.SIGKILL, grace_s=0)
        return code

    async def _await_ready(self, readiness: NotifySocket) -> None:
        await readiness.wait_ready()
        self.ready.set()

    async def _forward_output(self, running: asyncio.subprocess.Process) -> None:
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

    def _command(self, notify_address: str) -> ProcessSpec:
        # Killed by the kernel when we are: its messages' leases run out, and another worker takes them. A SIGTERM
        # would let it drain for minutes against servers that left with us.
        return ProcessSpec(
            [sys.executable, "-m", *self._argv],
            environment={**self._environment, "NOTIFY_SOCKET": notify_address, "PYTHONUNBUFFERED": "1"},
            descriptors=self._descriptors,
            death_signal=signal.SIGKILL,
        )

    def _last_output_line(self) -> str:
        """What it wrote on its way out, without its own name in front."""
        last = next((line for line in reversed(self._last_lines) if line), "the configuration is not acceptable")
        return last.partition(": ")[2] or last


def _describe_exit(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
