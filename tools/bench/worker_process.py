"""One queue under test, in a process of its own: fills it or drains it, and tells what that cost.

    python -m tools.bench.worker_process rq-fork|rq-simple|ours|ours-claims  fill|drain  NUMBER

When it is set up it writes a line and waits for one, so that nobody pays for a start; then it does NUMBER jobs and
writes its usage as JSON.
"""

import resource
import sys
import time
from collections.abc import Callable
from functools import partial

import msgspec

from tools.bench import msgctl_worker, rq_worker


class Usage(msgspec.Struct, frozen=True):
    """What a run cost in this process and its ended children."""

    seconds: float
    """Wall time."""
    cpu: float
    """Seconds of CPU."""


Finished = Callable[[], None]
Run = Callable[[int, Finished], None]
"""Does so many jobs; then it calls the function it was given, and cleans up."""

RUNS: dict[tuple[str, str], Run] = {
    ("rq-fork", "drain"): partial(rq_worker.drain, fork=True),
    ("rq-simple", "drain"): partial(rq_worker.drain, fork=False),
    ("rq-simple", "fill"): rq_worker.fill,
    ("ours", "drain"): msgctl_worker.drain,
    ("ours", "fill"): msgctl_worker.fill,
    ("ours-claims", "drain"): msgctl_worker.drain_bare,
}


def main(name: str, action: str, number: int) -> None:
    """Do what was asked, once the other side says so."""
    run = RUNS[name, action]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    begun, cpu = time.perf_counter(), cpu_so_far()

    def finish() -> None:
        usage = Usage(seconds=time.perf_counter() - begun, cpu=cpu_so_far() - cpu)
        sys.stdout.write(msgspec.json.encode(usage).decode() + "\n")
        sys.stdout.flush()

    run(number, finish)


def cpu_so_far() -> float:
    """CPU seconds of this process and of its ended children."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
