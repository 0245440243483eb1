"""Invocations of the real command line, and what they leave behind."""

import asyncio
import json
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from msgctl.config.settings import Settings
from tests.support.secret_scan import SEARCH
from tools.support.daemons import PATIENCE, environment


@dataclass(frozen=True)
class Outcome:
    """What one invocation left behind."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """Standard output as the one JSON document it must be."""
        return json.loads(self.stdout)

    @property
    def lines(self) -> list[str]:
        """Standard output by line."""
        return self.stdout.splitlines()


class Invoke(Protocol):
    """`await msgctl("queue", "stats")`."""

    def __call__(self, *arguments: str, environ: Mapping[str, str] | None = None) -> Coroutine[Any, Any, Outcome]:
        """Run one invocation to its end; `environ` adds to its environment."""
        ...


@asynccontextmanager
async def started(
    settings: Settings, *arguments: str, folder: Path, environ: Mapping[str, str] | None = None
) -> AsyncIterator[Process]:
    """An invocation that runs, and does not outlive the test; Ctrl-C reaches it even from xdist's processes."""
    program = (
        "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "runpy.run_module('msgctl', run_name='__main__', alter_sys=True)"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", program, *arguments),
        env=environment(settings) | {"COLUMNS": "80"} | dict(environ or {}),
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


def make_invoke(settings: Settings, folder: Path) -> Invoke:
    """Return a function that runs `msgctl ARGUMENTS` in a folder, and reads its output for secrets."""

    async def invoke(*arguments: str, environ: Mapping[str, str] | None = None) -> Outcome:
        async with started(settings, *arguments, folder=folder, environ=environ) as process:
            stdout, stderr = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert process.returncode is not None
        command = " ".join(("msgctl", *arguments[:2]))
        SEARCH.hear(command, stdout.decode(), shown=True)
        SEARCH.hear(f"{command} on standard error", stderr.decode())
        return Outcome(process.returncode, stdout.decode(), stderr.decode())

    return invoke
