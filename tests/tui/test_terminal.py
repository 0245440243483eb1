"""The dashboard as the real program, with and without a terminal."""

import asyncio
import os
import pty
import sys
from pathlib import Path

from msgctl.config.settings import Settings
from tools.support.daemons import PATIENCE, environment


async def test_dash_without_terminal_names_top() -> None:
    """It exits immediately, and prints no control characters."""
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


async def test_logs_tab_reads_configured_folder(settings: Settings, tmp_path: Path) -> None:
    """`[logs] directory`, as in `msgctl logs`."""
    (tmp_path / "combined.log").write_text("a line of the log\n")
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "msgctl", "dash"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(settings) | {"TERM": "xterm", "MSGCTL_LOGS_DIRECTORY": str(tmp_path)},
    )
    os.close(theirs)
    seen = bytearray()
    try:
        async with asyncio.timeout(PATIENCE):
            while b"a line of the log" not in seen:
                seen += await asyncio.to_thread(os.read, ours, 65_536)
                if b"Overview" in seen:
                    os.write(ours, b"8")
            os.write(ours, b"q")
            reading = asyncio.create_task(asyncio.to_thread(_read_to_the_end, ours))
            assert await process.wait() == 0
            await reading
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(ours)


def _read_to_the_end(terminal: int) -> None:
    """Read until the other side is closed, which Linux reports as an error."""
    try:
        while os.read(terminal, 65_536):
            pass
    except OSError:
        return
