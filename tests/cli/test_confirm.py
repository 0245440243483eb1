"""Confirmation on a real terminal."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from msgctl.config.settings import Settings
from tests.support.messages import Traffic
from tools.support.daemons import PATIENCE, environment


@pytest.mark.parametrize(("said", "code", "left"), [("y\n", 0, 0), ("n\n", 6, 1), ("\n", 6, 1)])
async def test_replay_on_terminal_asks_for_confirmation(
    settings: Settings, traffic: Traffic, tmp_path: Path, *, said: str, code: int, left: int
) -> None:
    """The question contains the number of messages and goes to standard error. Only yes continues."""
    await traffic.failed("m")
    ours, theirs = os.openpty()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "msgctl", "dlq", "replay", "--all"),
        env=environment(settings),
        cwd=tmp_path,
        stdin=theirs,
        stdout=asyncio.subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    os.write(ours, said.encode())  # the terminal keeps it until it is read
    stdout, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    shown = os.read(ours, 4096).decode()
    os.close(ours)
    assert process.returncode == code
    assert "1 dead letter will be replayed. [y/N]" in shown
    assert b"[y/N]" not in stdout
    assert (await traffic.queue.stats()).failed == left
