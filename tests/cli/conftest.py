"""The real command line, against the test's own servers."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from msgctl.agents import Agents
from msgctl.config import Settings
from tests.processes import environment
from tests.traffic import traffic

__all__ = ["Invoke", "Outcome", "agent_id", "msgctl", "traffic"]


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


Invoke = Callable[..., Awaitable[Outcome]]


@pytest.fixture
def msgctl(settings: Settings, tmp_path: Path) -> Invoke:
    """Runs `msgctl ARGUMENTS` in an empty folder; `environ` adds to its environment."""

    async def invoke(*arguments: str, environ: Mapping[str, str] | None = None) -> Outcome:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "msgctl", *arguments),
            env=environment(settings) | {"COLUMNS": "80"} | dict(environ or {}),
            cwd=tmp_path,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            stdout, stderr = await asyncio.wait_for(process.communicate(), 120)
        finally:
            if process.returncode is None:
                os.kill(process.pid, signal.SIGKILL)
                await process.wait()
        assert process.returncode is not None
        return Outcome(process.returncode, stdout.decode(), stderr.decode())

    return invoke


@pytest.fixture
async def agent_id(settings: Settings) -> str:
    """An agent of Ana's."""
    async with Agents(settings) as store:
        return (await store.add(user_id="ana", name="Support", webhook_path="chat")).id
