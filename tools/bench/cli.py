"""`make bench-cli`: the command line against a million messages: its own time, and how long it holds Redis up."""

import argparse
import asyncio
import resource
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.connections import connect
from tools.bench import dead_letters, messages, report
from tools.bench.measure import RedisWork, median
from tools.bench.servers import Place, place

LOOKS = {
    "--help": "≤ 150 ms of CPU",
    "queue stats": "≤ 300 ms of CPU",
    "queue list": "",
    "message list --state waiting": "",
    "message list --match 'order number 7'": "",
    "message why m{last}": "",
    "message show m{last}": "",
    "top": "",
    "assert dlq>0": "",
    "doctor --quick": "",
    "dlq list": "< 1 s",
    "dlq list --error timeout": "< 1 s",
    "dlq groups": "< 5 s",
    "queue clean --state failed --older-than 1s --dry-run": "",
    "dlq replay --all --dry-run -o ids": "",
    "dlq replay --all --yes --reason bench": "≥ 2,000/s",
}
"""Each command, and what the issues ask of it."""
MISSING = 100
"""Dead letters whose record is taken away before they are replayed."""
OURS = {"INFO", "CONFIG", "SLOWLOG"}
"""Commands of the bench itself."""
WORTH_LOGGING = 200
"""Microseconds of Redis's main thread from which its slow log takes a command down."""


class Look(msgspec.Struct, frozen=True):
    """One command, run so and so often."""

    command: str
    goal: str
    code: int
    seconds: float
    """Median of what a person waits."""
    cpu: float
    """Median of its own CPU seconds."""
    redis_cpu: float
    """Redis's, of all runs together divided by their number."""
    longest: float
    """Milliseconds that one command held Redis up at most."""
    culprit: str
    """Its name."""


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.cli", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000, help="messages in all (1000000)")
    parser.add_argument("--letters", type=int, default=200_000, help="dead letters among them (200000)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each command but the replay (3)")
    parser.add_argument("--write", type=Path, help="the Markdown file whose section is to be replaced")
    return parser.parse_args()


async def main(arguments: argparse.Namespace) -> None:
    """Fill Redis, run each command, show what it took, and write it down if asked to."""
    async with place() as here, connect(here.settings) as redis:
        await redis.config_set("auto-aof-rewrite-percentage", 0)  # a rewrite would be timed along
        await dead_letters.bury(redis, here.settings, count=arguments.letters, conversations=arguments.letters)
        await messages.fill(
            redis,
            here.settings,
            count=arguments.jobs - arguments.letters,
            conversations=max(1, arguments.jobs // 10),
            first=arguments.letters,
        )
        for number in range(MISSING):
            await redis.delete(keys.job_key(f"m{number}"))
        looks = [
            await _look(here, redis, command.format(last=arguments.jobs - 1), goal, arguments.rounds)
            for command, goal in LOOKS.items()
        ]
    report.publish("Command line", "make bench-cli", [_table(arguments, looks)], arguments.write)


async def _look(here: Place, redis: RedisClient, command: str, goal: str, rounds: int) -> Look:
    await redis.config_set("slowlog-log-slower-than", WORTH_LOGGING)
    await redis.config_set("slowlog-max-len", 10_000)
    await redis.slowlog_reset()
    before = await RedisWork.so_far(redis)
    runs = [await _run(here, command) for _ in range(1 if "--yes" in command else rounds)]
    work = await RedisWork.so_far(redis) - before
    longest, culprit = max(
        ((entry["duration"] / 1000, _name(entry["command"])) for entry in await _slow(redis)), default=(0.0, "")
    )
    return Look(
        command=command,
        goal=goal,
        code=runs[-1][0],
        seconds=median(seconds for _, seconds, _ in runs),
        cpu=median(cpu for _, _, cpu in runs),
        redis_cpu=work.cpu / len(runs),
        longest=longest,
        culprit=culprit,
    )


async def _run(here: Place, command: str) -> tuple[int, float, float]:
    """Run it to its end: exit code, seconds, its own CPU seconds."""
    words = [word.strip("'") for word in command.replace("'order number 7'", "'order·number·7'").split()]
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "msgctl", *(word.replace("·", " ") for word in words)),
        env=here.environment,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    code = await process.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return code, time.perf_counter() - begun, cpu


async def _slow(redis: RedisClient) -> list[dict[str, Any]]:
    """What the slow log has of the command under test, without what asked for it."""
    entries: list[dict[str, Any]] = await redis.slowlog_get(10_000)
    return [entry for entry in entries if _name(entry["command"]) not in OURS]


def _name(command: bytes | str) -> str:
    text = command.decode("utf-8", "replace") if isinstance(command, bytes) else command
    return text.split(maxsplit=1)[0]


def _table(arguments: argparse.Namespace, looks: list[Look]) -> report.Table:
    (replay,) = (look for look in looks if "--yes" in look.command)
    rate = (arguments.letters - MISSING) / replay.seconds
    return report.Table(
        f"{arguments.jobs:,} messages, {arguments.letters:,} of them dead letters, {MISSING} without a record",
        ["msgctl", "goal", "exit", "s", "its CPU, s", "Redis's CPU, s", "longest command of Redis, ms"],
        [
            [
                f"`{look.command}`",
                look.goal,
                str(look.code),
                f"{look.seconds:.2f}",
                f"{look.cpu:.2f}",
                f"{look.redis_cpu:.2f}",
                f"{look.longest:.1f} {look.culprit}",
            ]
            for look in looks
        ],
        note=f"Replay: {rate:,.0f} letters a second; exit 4 says that {MISSING} were skipped, which it counts.",
    )


if __name__ == "__main__":
    asyncio.run(main(parse()))
