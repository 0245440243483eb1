"""The dashboard without a terminal."""

import asyncio
import sys

from tests.processes import PATIENCE


async def test_without_a_terminal_it_says_what_to_do() -> None:
    """Neither a pipe nor a file gets a screen's control characters: it ends at once and names `msgctl top`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "msgctl", "dash"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, told = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert (process.returncode, out) == (2, b"")
    assert b"msgctl top" in told
    assert b"\x1b" not in told
