"""Real processes for tests: a daemon or the command line, with its settings in the environment."""

import asyncio
import os
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from types import TracebackType
from typing import Self

from pydantic import SecretStr

from msgctl.config.settings import Settings
from msgctl.config.sources import iter_settings
from msgctl.observability.sd_notify import NotifySocket

PATIENCE = 60.0
"""Seconds to wait for a condition before a test fails; a busy machine may need many."""
OUTPUT_LISTENERS: list[Callable[[str, str], None]] = []
"""Called with the name and the whole output of each daemon that has ended; the tests search it for secrets."""


def environment(settings: Settings) -> dict[str, str]:
    """This process's environment with every setting that is not a default, as MSGCTL_SECTION_NAME."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MSGCTL_", "REDIS_"))}
    for section, name, field in iter_settings():
        value = getattr(getattr(settings, section), name)
        if value == field.get_default(call_default_factory=True):
            continue
        text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        inherited[f"MSGCTL_{section}_{name}".upper()] = (
            ",".join(map(str, value)) if isinstance(value, list) else text
        )
    return inherited


class Daemon:
    """`python -m daemons.NAME`, ready once entered; SIGTERM at the end, and its output for looking at.

    Args:
        name: worker, subscriber or gateway.
        settings: handed over in its environment.
        arguments: further arguments of its command line.
        extra: further environment.
    """

    def __init__(
        self, name: str, settings: Settings, *arguments: str, extra: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.output = ""
        self._arguments = arguments
        self._environment = environment(settings) | dict(extra or {})
        self._told = ""
        self.await_ready = True
        """Whether to enter only once it is ready; otherwise call `ready`."""

    async def __aenter__(self) -> Self:
        with ExitStack() as stack:
            notifications = stack.enter_context(closing(NotifySocket()))
            self._environment["NOTIFY_SOCKET"] = notifications.address
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", f"daemons.{self.name}", *self._arguments),
                env=self._environment,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            self._reading = asyncio.create_task(self._read())
            if self.await_ready:
                await self._until_ready(notifications)
            else:
                self._notifications, self._opened = notifications, stack.pop_all()
        return self

    async def ready(self) -> None:
        """Return once it is ready or has ended, if it was entered without waiting for that."""
        with self._opened:
            await self._until_ready(self._notifications)

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        if self.process.returncode is None:
            self.process.terminate()
        try:
            await self.exited()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
            raise AssertionError(f"{self.name} did not stop:\n{self.output}") from None

    @property
    def status(self) -> str:
        """What it said of itself when it became ready."""
        found = re.search(r"STATUS=(.*)", self._told)
        return found.group(1) if found else ""

    async def exited(self) -> int:
        """Its exit code, once it has ended by itself or after a signal."""
        code = await asyncio.wait_for(self.process.wait(), PATIENCE)
        await self._reading
        return code

    async def said(self, words: str) -> None:
        """Return once its output holds `words`."""
        await until(lambda: words in self.output, f"{self.name} to say {words!r}")

    async def _until_ready(self, notifications: NotifySocket) -> None:
        ended = asyncio.create_task(self.process.wait())
        while "READY=1" not in self._told:
            heard = asyncio.create_task(notifications.receive())
            await asyncio.wait([heard, ended], timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
            if not heard.done():
                heard.cancel()
                await asyncio.gather(heard, return_exceptions=True)
                break  # it ended before it was ready: the caller looks at `exited` and `output`
            self._told += "\n".join(heard.result()) + "\n"
        if self.process.returncode is None:
            ended.cancel()
            await asyncio.gather(ended, return_exceptions=True)

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.output += line.decode()
        for listener in OUTPUT_LISTENERS:
            listener(f"daemons.{self.name}", self.output)


async def until(condition: object, what: str) -> None:
    """Return once `condition()` (or what it is awaited to) is true.

    Raises:
        AssertionError: it was not within `PATIENCE`.
    """
    assert callable(condition)
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while True:
        outcome = condition()
        if await outcome if asyncio.iscoroutine(outcome) else outcome:
            return
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"waited {PATIENCE:g} s for {what}")
        await asyncio.sleep(0.02)
