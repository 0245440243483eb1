"""Supervision: ready when they say so, started again when they die, stopped when told, given up on exit 78."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from msgctl.domain.errors import ConfigurationError
from msgctl.local.supervisor.child import Daemon
from msgctl.local.supervisor.supervisor import Supervisor

PROGRAM = """
import os, signal, socket, sys, time
from pathlib import Path

folder = Path(__file__).parent
with (folder / "starts").open("a") as starts:
    starts.write(f"{os.getpid()}\\n")

def leave(*_):
    with (folder / "signals").open("a") as signals:
        signals.write("SIGTERM\\n")
    told = len((folder / "signals").read_text().split())
    if told > 1 or "stubborn" not in sys.argv:
        sys.exit(0)

signal.signal(signal.SIGTERM, leave)
if "78" in sys.argv:
    print("daemon: [auth] jwt_secret is too short.", flush=True)
    sys.exit(78)
while "mute" in sys.argv:
    time.sleep(0.05)
print("x" * 200_000 if "long" in sys.argv else "a line", flush=True)
print("ready", flush=True)
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notice:
    notice.sendto(b"STATUS=fine\\nREADY=1", "\\0" + os.environ["NOTIFY_SOCKET"][1:])
while True:
    time.sleep(0.05)
"""


@pytest.fixture
def lines() -> list[tuple[str, str]]:
    """What the daemons wrote."""
    return []


@pytest.fixture
def make(tmp_path: Path, lines: list[tuple[str, str]]) -> Callable[..., Daemon]:
    """Makes a daemon of the program above, with arguments for it."""
    (tmp_path / "program.py").write_text(PROGRAM)

    def make_daemon(*arguments: str, name: str = "worker-1") -> Daemon:
        environment = os.environ | {"PYTHONPATH": str(tmp_path)}
        return Daemon(name, ["program", *arguments], environment, lambda *line: lines.append(line))

    return make_daemon


def starts(folder: Path) -> list[int]:
    """The process ids of all starts so far."""
    return [int(line) for line in (folder / "starts").read_text().split()]


def exists(pid: int) -> bool:
    """Whether there is a process of this id, be it only one that waits to be reaped."""
    return Path(f"/proc/{pid}").exists()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition; fail if it does not come true."""
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the condition did not come true in time")


async def test_entering_waits_until_all_are_ready(
    make: Callable[..., Daemon], lines: list[tuple[str, str]]
) -> None:
    """Once the context is open every daemon has said READY=1, and its lines came with its name."""
    async with Supervisor([make(name="worker-1"), make(name="gateway-1")], grace_s=10) as supervisor:
        assert set(supervisor.pids) == {"worker", "gateway"}
        await until(lambda: {("worker-1", "ready"), ("gateway-1", "ready")} <= set(lines))
    assert supervisor.pids == {}


async def test_one_that_dies_is_started_again_with_growing_pauses(
    make: Callable[..., Daemon], tmp_path: Path, lines: list[tuple[str, str]]
) -> None:
    """Each death is followed by a new process, and each pause is twice the one before."""
    async with Supervisor([make()], grace_s=10):
        for death in range(1, 4):
            os.kill(starts(tmp_path)[-1], signal.SIGKILL)
            await until(lambda death=death: len(starts(tmp_path)) > death)  # type: ignore[misc]
    told = [line for _, line in lines if line.startswith("died")]
    assert told == [f"died (signal SIGKILL), starts again in {pause} s" for pause in (0.2, 0.4, 0.8)]


async def test_exit_78_stops_everything_and_is_told(make: Callable[..., Daemon], tmp_path: Path) -> None:
    """A daemon that cannot run as configured is not tried again, and its own words are the error."""
    with pytest.raises(ConfigurationError, match=r"^\[auth\] jwt_secret is too short\.$"):
        async with Supervisor([make("78"), make(name="gateway-1")], grace_s=10):
            raise AssertionError("it must not open")
    assert len(starts(tmp_path)) <= 2
    await until(lambda: not any(exists(pid) for pid in starts(tmp_path)))


async def test_stopping_waits_for_the_drain_and_a_second_signal_hurries_it(
    make: Callable[..., Daemon], tmp_path: Path
) -> None:
    """The first SIGTERM asks to drain; `hurry` sends the second one, and only then the daemon leaves."""
    supervisor = Supervisor([make("stubborn")], grace_s=60)
    await supervisor.__aenter__()
    stopping = asyncio.create_task(supervisor.stop())
    await until((tmp_path / "signals").exists)
    assert not stopping.done()
    assert supervisor.pids
    supervisor.terminate_all()
    await asyncio.wait_for(stopping, 20)
    assert (tmp_path / "signals").read_text().split() == ["SIGTERM", "SIGTERM"]


async def test_one_that_does_not_leave_is_killed_after_its_grace(
    make: Callable[..., Daemon], tmp_path: Path
) -> None:
    """A daemon that ignores SIGTERM is gone soon after its grace."""
    begun = time.monotonic()
    async with Supervisor([make("stubborn")], grace_s=0.3):
        pass
    assert time.monotonic() - begun < 20
    assert not exists(starts(tmp_path)[0])


async def test_a_line_beyond_all_bounds_breaks_nothing(
    make: Callable[..., Daemon], lines: list[tuple[str, str]]
) -> None:
    """A huge line is lost, the next one is read."""
    async with Supervisor([make("long")], grace_s=10):
        await until(lambda: ("worker-1", "ready") in lines)


async def test_a_start_that_is_cancelled_leaves_no_process(make: Callable[..., Daemon], tmp_path: Path) -> None:
    """Ctrl-C while a daemon is not ready yet stops it all the same."""
    task = asyncio.create_task(Supervisor([make("mute")], grace_s=10).__aenter__())
    await until((tmp_path / "starts").exists)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not exists(starts(tmp_path)[0]))
