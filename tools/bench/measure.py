"""What is measured and how: CPU seconds of processes, what Redis did meanwhile, medians and quantiles."""

import os
import statistics
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import msgspec

from msgctl.storage.redis.client import RedisClient

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
CHILDREN_TIMES = slice(13, 15)
"""cutime and cstime in /proc/PID/stat behind the name, proc(5)."""


def cpu_seconds(pid: int) -> float:
    """CPU a process has used, threads and ended children included.

    Its own share comes from its CPU clock (nanoseconds), the children's from /proc (hundredths of a second).
    """
    own = time.clock_gettime((~pid << 3) | 2)  # clock_getcpuclockid(3): the CPU clock of a process by its id
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return own + sum(int(ticks) for ticks in fields[CHILDREN_TIMES]) / CLOCK_TICKS


def descendants(pid: int) -> list[int]:
    """A process and all processes below it that live."""
    found = [pid]
    for one in found:
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            found += map(int, children.read_text("ascii").split())
    return found


def machine_busy() -> float:
    """CPU seconds all processes of this machine have used since it started."""
    ticks = [int(field) for field in Path("/proc/stat").read_text("ascii").splitlines()[0].split()[1:9]]
    user, nice, system, _idle, _iowait, irq, softirq, _steal = ticks
    return (user + nice + system + irq + softirq) / CLOCK_TICKS


def peak_memory(pid: int) -> int:
    """The most resident memory a process has had, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def memory(pid: int) -> int:
    """The resident memory of a process, in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * PAGE


class RedisWork(msgspec.Struct, frozen=True):
    """What Redis has done since it started; two of them subtracted, what it did in between."""

    cpu: float
    """Seconds, all its threads."""
    commands: int
    """Commands, those inside scripts included."""
    reads: int
    """Times it read something from a client: round trips, a pipeline counting as one."""
    memory: int
    """Bytes in use (not a sum: the difference is growth)."""

    @classmethod
    async def so_far(cls, redis: RedisClient) -> Self:
        """Read the counters."""
        info: dict[str, Any] = await redis.info("all")
        return cls(
            cpu=info["used_cpu_user"] + info["used_cpu_sys"],
            commands=sum(stat["calls"] for name, stat in info.items() if name.startswith("cmdstat_")),
            reads=info["total_reads_processed"],
            memory=info["used_memory"],
        )

    def __sub__(self, earlier: Self) -> "RedisWork":
        """The work between two readings."""
        return RedisWork(
            cpu=self.cpu - earlier.cpu,
            commands=self.commands - earlier.commands,
            reads=self.reads - earlier.reads,
            memory=self.memory - earlier.memory,
        )


async def slowest(redis: RedisClient, command: str, share: float) -> float:
    """Microseconds inside Redis that `share` (0 to 1) of the runs of a command did not exceed, since RESETSTAT.

    Its histogram has buckets of powers of two, so this is the upper end of one.
    """
    found: dict[str, Any] = await redis.execute_command("LATENCY", "HISTOGRAM", command)
    counts: dict[int, int] = found[command]["histogram_usec"]
    wanted = found[command]["calls"] * share
    return next(bucket for bucket, count in sorted(counts.items()) if count >= wanted)


def median(values: Iterable[float]) -> float:
    """The middle value."""
    return statistics.median(values)


def quantile(values: Sequence[float], share: float) -> float:
    """The value that `share` of all (0 to 1) do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
