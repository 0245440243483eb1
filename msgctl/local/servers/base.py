"""What the embedded servers have in common: a folder, a port, a start that waits until they serve, a stop."""

import asyncio
import fcntl
import os
import secrets
import signal
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import Self

from msgctl.domain.errors import ConfigurationError, Unavailable
from msgctl.local.servers.run_as import RunAs
from msgctl.local.supervisor import ports, process
from msgctl.local.supervisor.process import ProcessSpec
from msgctl.observability import logs

MAX_PORT_ATTEMPTS = 5
MAX_LOCK_ATTEMPTS, LOCK_RETRY_PAUSE_S = 60, 0.1
"""A server of an earlier, killed run may still be on its way out."""
MIN_SERVER_RESTART_PAUSE_S, MAX_SERVER_RESTART_PAUSE_S = 0.2, 10.0
"""Seconds before a server that died is started again; doubled each time."""

log = logs.get_logger(__name__)


class EmbeddedServer(ABC):
    """One server process with data of its own.

    It may be stopped without a start and stopped twice; a second start on the same folder finds the data of
    the first.

    Args:
        folder: where its data and its log live; made if it is not there.
        port: the port on 127.0.0.1; None takes a free one.
        start_timeout_s: seconds it may take until it serves.
    """

    name: str
    stop_signal: int = signal.SIGTERM

    def __init__(self, folder: Path, port: int | None = None, *, start_timeout_s: float = 60.0) -> None:
        self.folder = folder.absolute()
        self.port = port or 0
        self.start_timeout_s = start_timeout_s
        self.run_as = RunAs.for_servers()
        self._process: asyncio.subprocess.Process | None = None
        self._lock: int | None = None
        self._stopping = False

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def log_path(self) -> Path:
        """Where its output goes."""
        return self.folder / f"{self.name}.log"

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if self._process and running else None

    async def start(self) -> None:
        """Start it and wait until it serves.

        Raises:
            ConfigurationError: the extra is not installed, or the folder cannot be used.
            Unavailable: it stopped again or did not serve in time; the text holds the end of its log.
        """
        self._stopping = False
        try:
            await self.prepare()
            await self._launch()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop it in order; after ten seconds, kill it."""
        self._stopping = True
        await process.stop(self._process, self.stop_signal, grace_s=10)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def restart_on_exit(self) -> None:
        """Start it again, on the same port, whenever it dies without having been stopped."""
        pause = MIN_SERVER_RESTART_PAUSE_S
        while self._process is not None:
            code = await self._process.wait()
            if self._stopping:
                return
            log.error("Server died and is started again", server=self.name, code=code, again_in=pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, MAX_SERVER_RESTART_PAUSE_S)
            try:
                await self._launch()
            except Unavailable as error:
                log.error("Server does not start", server=self.name, error=error.message)  # noqa: TRY400 - no bug

    async def prepare(self) -> None:
        """Make what must be there before the process starts."""
        self.run_as.make_folder(self.folder)
        await self._acquire_lock()

    @abstractmethod
    def command(self) -> ProcessSpec:
        """What to run."""

    @abstractmethod
    async def is_ready(self, pid: int) -> bool:
        """Whether the server with this process id, and no other, answers on the port."""

    @property
    def descriptors(self) -> list[int]:
        """What its process must inherit: the lock, which so lasts until the last process on the data is gone."""
        return [] if self._lock is None else [self._lock]

    async def _acquire_lock(self) -> None:
        """Two servers on the same data would destroy it, and Valkey itself does not look.

        The lock is the kernel's, on the folder itself: nothing is left behind that could be stale.
        """
        if self._lock is not None:
            return
        for _ in range(MAX_LOCK_ATTEMPTS):
            self._lock = lock_folder(self.folder)
            if self._lock is not None:
                return
            await asyncio.sleep(LOCK_RETRY_PAUSE_S)
        raise ConfigurationError(folder_in_use_text(self.folder))

    async def _launch(self) -> None:
        fixed = self.port
        for _ in range(1 if fixed else MAX_PORT_ATTEMPTS):
            # Another process may take a free port before the server does, hence several attempts.
            self.port = fixed or ports.free_port()
            self._process = await process.spawn(self.command())
            if await self._await_ready(self._process):
                return
            await process.stop(self._process, self.stop_signal, grace_s=10)
        raise Unavailable(f"{self.name} does not start; see {self.log_path}:\n{process.last_lines(self.log_path)}")

    async def _await_ready(self, started: asyncio.subprocess.Process) -> bool:
        """Wait until it is ready (True), has gone or has been too slow (False)."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.start_timeout_s):
                while started.returncode is None:
                    if await self.is_ready(started.pid):
                        return True
                    await asyncio.sleep(0.01)
        return False


def read_or_make_password(file: Path, identity: RunAs) -> str:
    """The password in a file of mode 0600 that only the server and we can read; made on the first call."""
    if not file.exists():
        partial = file.with_suffix(".partial")
        partial.touch(0o600)
        partial.write_text(secrets.token_urlsafe(24), "utf-8")
        identity.chown_tree(partial)
        partial.rename(file)
    return file.read_text("utf-8").strip()


def lock_folder(folder: Path) -> int | None:
    """A descriptor that keeps others from holding this folder until it is closed; None: another has it."""
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def folder_in_use_text(folder: Path) -> str:
    """Says that another holds a folder."""
    return f"{folder} is in use by another msgctl. Stop that one, or choose another --data-dir."
