"""A child process that cannot outlive us, and that may be stopped at any time, twice, or without a start."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from msgctl.local.servers.run_as import SAME_USER

LAUNCH_SCRIPT = Path(__file__).with_name("exec_as.py")


@dataclass(frozen=True)
class ProcessSpec:
    """What to run, and how.

    Args:
        words: the program, by its path, and its arguments.
        user: whom to become, as `launch` takes it.
        stdin: what the program reads, e.g. a configuration with a secret, which arguments would show to everyone.
        log: the file its output is added to; None gives us the output as a stream.
        environment: all of its environment; None is ours.
        descriptors: file descriptors that it inherits under their numbers.
        death_signal: what the kernel sends it when we die without having stopped it.
    """

    argv: Sequence[str | Path]
    user: str = SAME_USER
    stdin: bytes = b""
    log: Path | None = None
    environment: Mapping[str, str] | None = None
    descriptors: Sequence[int] = field(default_factory=tuple)
    death_signal: int = signal.SIGKILL


async def spawn(command: ProcessSpec) -> Process:
    """Start a command in a session of its own, so that Ctrl-C reaches us alone and we stop things in order."""
    output = os.open(command.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if command.log else PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", LAUNCH_SCRIPT, str(int(command.death_signal)), str(os.getpid())),
            *(command.user, *command.argv),
            stdin=PIPE if command.stdin else DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            env=command.environment,
            pass_fds=command.descriptors,
            start_new_session=True,
        )
    finally:
        if command.log:
            os.close(output)
    if process.stdin:
        process.stdin.write(command.stdin)
        process.stdin.close()
    return process


async def run(command: ProcessSpec) -> int:
    """Run a command to its end and return its exit code; if we are cancelled, it and its children are killed."""
    process = await spawn(command)
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            await _kill_session(process)


async def stop(process: Process | None, signal_number: int, *, grace_s: float) -> None:
    """Send a signal, wait, and kill what has not left after `grace` seconds."""
    if process is None:
        return
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.send_signal(signal_number)
    # Not asyncio.timeout: before Python 3.11.4 it fails in a task that is being cancelled, as ours may be.
    leaving = asyncio.ensure_future(process.wait())
    try:
        await asyncio.wait([leaving], timeout=grace_s)
        if not leaving.done():
            with suppress(ProcessLookupError):
                process.kill()
            await leaving
    finally:
        leaving.cancel()


async def _kill_session(process: Process) -> None:
    """Kill a process with its children, and return once the last of them writes nothing any more."""
    with suppress(ProcessLookupError):
        while True:  # its children are not ours to wait for
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            await asyncio.sleep(0.01)


def last_lines(log: Path, lines: int = 5) -> str:
    """The last lines of a log, for the message that something did not start."""
    try:
        return "\n".join(log.read_text("utf-8", "replace").splitlines()[-lines:])
    except OSError:
        return ""
