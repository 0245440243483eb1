"""Looking at processes from outside, as an operator would."""

import time
from collections.abc import Callable
from pathlib import Path

PATIENCE = 60.0
"""Seconds to wait for a condition before a test fails; a busy machine may need many."""


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that is only waiting to be reaped does not."""
    return _state(pid)[0] not in {"", "Z"}


def children(pid: int) -> list[int]:
    """The living children of a process."""
    everyone = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [other for other in everyone if _state(other)[1] == pid and is_alive(other)]


def words(pid: int) -> list[str]:
    """The command line of a process."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []


def owner(pid: int | None) -> int:
    """The user that a process runs as."""
    return Path(f"/proc/{pid}").stat().st_uid


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition; fail if it does not come true."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)


def _state(pid: int) -> tuple[str, int]:
    """A process's state and its parent, from /proc; empty and 0 where there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "", 0
    return fields[0], int(fields[1])
