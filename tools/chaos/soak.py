"""`make soak`: half an hour at 70 % of what the machine bears, with kills; does memory creep, do keys stay behind?

    python -m tools.chaos.soak [--minutes 30] [--samples memory.csv]

One gateway, worker and subscriber live all the time and are watched; a second worker and subscriber beside them
are killed again and again. The load comes over REST and waits at WebSockets. Retention is a minute, so that what
is over is gone before the end. The worst comes first: Redis stands still for seconds, so that every allocator has
met its peak before memory counts.
"""

import argparse
import asyncio
import os
import random
import re
import signal
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from pydantic import SecretStr

from msgctl.aio import cancel
from msgctl.config.settings import Settings
from msgctl.local.supervisor import ports
from msgctl.operations.checks.invariants.verify import InvariantVerification, VerificationReport
from msgctl.operations.context import Context
from msgctl.storage.redis import keys
from tools.bench.daemon import add_agents, n8n
from tools.bench.load import Outcome
from tools.bench.servers import SECRET
from tools.chaos.environment import Place, place
from tools.chaos.memory import Samples, Slope, Watched
from tools.chaos.subscriber_kills import SUBSCRIBER
from tools.chaos.worker_pool import Crew
from tools.support.daemons import Daemon

SHARE = 0.7
DELAY = 0.1
"""Seconds n8n takes."""
PROBE = 10_000
"""Messages of the burst that finds out what the machine bears, and fills what Redis keeps the last 5,000 of."""
KEPT = 60.0
"""Seconds that anything is kept once it is over."""
WARMING = 2.5 * KEPT
"""Seconds after which what comes and what expires are in balance: memory counts from there, or from a third of the
run if that is later."""
STALL = 3.0
"""Seconds Redis stands still in the beginning."""
BETWEEN_KILLS = 15.0
CONVERSATIONS = 200
"""Sockets, and messages under way in the burst: what waits for its turn must not be what sets the pace."""
PARTS = ("gateway", "worker", "subscriber")


@dataclass(frozen=True)
class Report:
    """What came of it."""

    seconds: float
    capacity: float
    """Messages a second at saturation."""
    rate: float
    sent: int
    lost: int
    twice: int
    """Answers that a socket got more than once."""
    kills: int
    memory: list[Slope]
    left: dict[str, int] = field(default_factory=dict)
    """Keys that were not there before the load and have not gone, by their beginning."""
    verdict: VerificationReport | None = None

    @property
    def holds(self) -> bool:
        """Whether every promise was kept."""
        kept = not (self.lost or self.twice or self.left) and self.verdict is not None and self.verdict.holds
        return kept and (not self.warm or all(slope.holds for slope in self.memory))

    @property
    def warm(self) -> bool:
        """Whether the run was long enough to judge memory."""
        return self.seconds > 2 * WARMING


class Soak:
    """One run.

    Args:
        where: servers of its own.
        minutes: how long the load lasts.
        path: where the samples of memory go, as CSV; None: nowhere.
    """

    def __init__(self, where: Place, minutes: float, path: Path | None = None) -> None:
        self._place = where
        self._seconds = minutes * 60
        self._path = path

    async def run(self) -> Report:
        """Load, kill, wait, and look at what is left."""
        async with AsyncExitStack() as stack:
            settings = _settings(self._place.settings, await stack.enter_async_context(n8n(DELAY)))
            samples = Samples({part: await _start(part, settings, stack) for part in PARTS}, self._place.redis)
            crews = [
                await stack.enter_async_context(Crew(settings, 1)),
                await stack.enter_async_context(Crew(settings, 1, program=SUBSCRIBER)),
            ]
            base = f"http://127.0.0.1:{settings.gateway.port}"
            before = await self._keys()
            _tell(f"{len(before)} keys before; looking for what the machine bears")
            probe = await _load(base, "--mode", "closed", "--inflight", CONVERSATIONS, "--messages", PROBE)
            rate = probe.throughput * SHARE
            count = round(rate * self._seconds)
            _tell(f"{probe.throughput:.0f} messages/s")
            left = await self._leftovers(before)
            await samples.rest()
            _tell(f"{count} messages at {rate:.0f}/s for {self._seconds / 60:g} minutes")
            begun = time.monotonic()
            chores = [asyncio.create_task(chore) for chore in (samples.watch(), self._stall(), _kill(crews))]
            outcome = await _load(base, "--mode", "open", "--rate", rate, "--messages", count)
            for chore in chores:
                await cancel(chore)
            seconds = time.monotonic() - begun
            if self._path:
                samples.write(self._path)
            left |= await self._leftovers(before)
            await samples.rest()
            return Report(
                seconds=seconds,
                capacity=probe.throughput,
                rate=rate,
                sent=count,
                lost=outcome.lost + probe.lost,
                twice=outcome.duplicates + probe.duplicates,
                kills=sum(len(crew.kills) for crew in crews),
                # Of a run too short to warm up, its second half.
                memory=samples.slopes(begun + min(max(WARMING, self._seconds / 3), self._seconds / 2)),
                left=left,
                verdict=await InvariantVerification(Context(settings, self._place.redis)).run(),
            )

    async def _stall(self) -> None:
        """Let Redis stand still once, under load: all that a client may send meanwhile is under way at once."""
        assert self._place.valkey.pid  # noqa: S101 - for the type checker
        await asyncio.sleep(STALL)
        os.kill(self._place.valkey.pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(STALL)
        finally:
            os.kill(self._place.valkey.pid, signal.SIGCONT)

    async def _keys(self) -> set[str]:
        return {key async for key in self._place.redis.scan_iter(count=1000)}

    async def _leftovers(self, before: set[str]) -> dict[str, int]:
        """Wait until all that expires has; then what is left that was not there and is not there once for all."""
        deadline = time.monotonic() + 3 * KEPT
        while True:
            left = {key for key in await self._keys() - before if not _stays(key)}
            if not left or time.monotonic() > deadline:
                return dict(Counter(re.split(r"[0-9a-f]{8}-|ws-|\d", key)[0] for key in left).most_common(20))
            _tell(f"{len(left)} keys are still to go")
            await asyncio.sleep(10)


def _stays(key: str) -> bool:
    """Whether a key stands for the whole pipeline, or for a process that lives: a bounded number of them."""
    whole = set(keys.LUA_NAMES.values())
    named = (keys.RQ_QUEUE, keys.RQ_WORKER, keys.WAKE, keys.BREAKER, keys.CLAIMED)
    return key in whole or key.startswith((*named, keys.INBOX))


async def _start(part: str, settings: Settings, stack: AsyncExitStack) -> Watched:
    """A daemon that tells its metrics."""
    port = ports.free_port()
    own = settings.model_copy(update={"metrics": settings.metrics.model_copy(update={"port": port})})
    daemon = await stack.enter_async_context(Daemon(part, own))
    return Watched(daemon.process.pid, f"http://127.0.0.1:{port}/metrics")


async def _kill(crews: list[Crew]) -> None:
    """Kill -9 one of a crew now and then, for ever."""
    while True:
        await asyncio.sleep(random.uniform(0.5, 1.5) * BETWEEN_KILLS)
        random.choice(crews).kill_one()


async def _load(base: str, *options: object) -> Outcome:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tools.bench.client", "--base", base, "--secret", SECRET),
        *("--stub-ms", str(round(DELAY * 1000)), "--timeout", "120", "--sockets", str(CONVERSATIONS)),
        *map(str, options),
        stdout=asyncio.subprocess.PIPE,
    )
    written, _ = await process.communicate()
    if process.returncode:
        raise SystemExit("The load client failed; its error is above.")
    return msgspec.json.decode(written.splitlines()[-1], type=Outcome)


def _settings(settings: Settings, n8n_url: str) -> Settings:
    """Everything that is over goes after a minute; a lease is short, since it is kills that are tried."""
    plain: dict[str, Any] = {
        "gateway": {"host": "127.0.0.1", "port": ports.free_port()},
        "n8n": {"base_url": n8n_url},
        "retention": {"completed": KEPT, "identity": KEPT},
        "history": {"ttl": KEPT, "max_mailbox": 100_000},
        "events": {"stream": 5_000},
        "delivery": {"max_stream": 5_000},
        "worker": {"lease": 5.0, "concurrency": CONVERSATIONS},
        "auth": {"jwt_secret": SecretStr(SECRET)},
    }
    return settings.model_copy(
        update={name: getattr(settings, name).model_copy(update=values) for name, values in plain.items()}
    )


def _tell(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()


async def main(minutes: float, path: Path | None) -> bool:
    """Soak, tell, and say whether every promise was kept."""
    async with place() as where:
        await add_agents(where.settings.postgres.url.get_secret_value(), 100)
        report = await Soak(where, minutes, path).run()
    for name in ("seconds", "capacity", "rate", "sent", "lost", "twice", "kills", "left"):
        value = getattr(report, name)
        sys.stdout.write(f"{name:10} {value:.0f}\n" if isinstance(value, float) else f"{name:10} {value or 0}\n")
    for slope in report.memory:
        sys.stdout.write(f"memory     {slope}{'' if report.warm else ' (a run too short to judge it)'}\n")
    for violation in report.verdict.violations[:20] if report.verdict else ():
        sys.stdout.write(f"{violation.code} {violation.subject}: {violation.text}\n")
    sys.stdout.write(f"{'kept' if report.holds else 'BROKEN'}\n")
    return report.holds


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tools.chaos.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30, help="how long the load lasts (30)")
    parser.add_argument("--samples", type=Path, metavar="FILE", help="write the memory over time there, as CSV")
    options = parser.parse_args()
    sys.exit(0 if asyncio.run(main(options.minutes, options.samples)) else 1)
