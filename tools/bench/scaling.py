"""Whether a message costs more with more of everything: conversations, and workers that share the queue."""

import asyncio
import time
from collections.abc import Sequence

import msgspec

from msgctl.queue.leases import LeaseClient
from msgctl.storage.redis.client import RedisClient
from tools.bench import messages, report
from tools.bench.children import run_contender
from tools.bench.measure import RedisWork, median
from tools.bench.servers import Place

WORKERS = (1, 2, 4, 8)
CONVERSATIONS = (10, 1_000, 100_000)
BATCH = 50
BOUND = 1.2
"""How much dearer a message may be."""


class Growth(msgspec.Struct, frozen=True):
    """What one message costs, microseconds of CPU."""

    what: str
    redis: float
    """Of Redis, for claim and commit."""
    worker: float
    """Of the workers."""


async def measure(place: Place, redis: RedisClient, *, rounds: int, queued: int) -> list[list[Growth]]:
    """Two rows of measurements: over conversations, over workers.

    Args:
        place: where the processes run.
        redis: emptied before each measurement.
        rounds: repetitions, whose medians count; they alternate, so that a disturbance meets all alike.
        queued: messages in each queue; those in the most conversations are as many as these are.
    """
    place.configure({("history", "max_mailbox"): max(queued, *CONVERSATIONS)})
    spread: dict[int, list[Growth]] = {count: [] for count in CONVERSATIONS}
    shared: dict[int, list[Growth]] = {count: [] for count in WORKERS}
    for _ in range(rounds):
        for count, found in spread.items():
            found.append(await _spread(place, redis, max(queued, count), count, work=queued // 2))
        for count, found in shared.items():
            found.append(await _shared(place, redis, count, queued // 2))
    return [[_middle(found) for found in series.values()] for series in (spread, shared)]


def table(series: Sequence[Sequence[Growth]]) -> report.Table:
    """The measurements as they are shown, each beside the first of its series."""
    return report.Table(
        "Growth: what a message costs with more of everything, CPU of claim and commit",
        ["", "Redis µs a message", "of the first", "worker µs a message", "of the first"],
        [
            [
                one.what,
                f"{one.redis:,.0f}",
                f"{one.redis / found[0].redis:.2f} x",
                f"{one.worker:,.0f}",
                f"{one.worker / found[0].worker:.2f} x",
            ]
            for found in series
            for one in found
        ],
        f"Wanted: at most {BOUND:g} x. The conversations' messages are worked in this process, those of the"
        " workers in processes of their own, which share the machine's cores.",
    )


async def _spread(place: Place, redis: RedisClient, queued: int, conversations: int, *, work: int) -> Growth:
    """Claim and commit in a queue of so many conversations."""
    await redis.flushall()
    await messages.fill(redis, place.settings, count=queued, conversations=conversations)
    claims = LeaseClient(redis, place.settings, "bench")
    before, begun = await RedisWork.so_far(redis), _cpu()
    done = 0
    while done < work:
        claimed = await claims.claim(BATCH)
        await asyncio.gather(*(messages.commit(claims, one) for one in claimed))
        done += len(claimed)
    used = await RedisWork.so_far(redis) - before
    what = f"{queued:,} queued in {conversations:,} conversations"
    return Growth(what, used.cpu / done * 1e6, (_cpu() - begun) / done * 1e6)


async def _shared(place: Place, redis: RedisClient, workers: int, work: int) -> Growth:
    """Let some workers work one queue; there is more in it than they do, so that none waits for the others."""
    await redis.flushall()
    await messages.fill(redis, place.settings, count=work * 2, conversations=work * 2)
    before = await RedisWork.so_far(redis)
    each = work // workers
    costs = await asyncio.gather(
        *(run_contender(place, redis, "ours", "drain", each) for _ in range(workers)),
    )
    used = await RedisWork.so_far(redis) - before
    done = each * workers
    name = f"{workers} worker{'s' if workers > 1 else ''}"
    return Growth(name, used.cpu / done * 1e6, sum(cost.usage.cpu for cost in costs) / done * 1e6)


def _middle(found: Sequence[Growth]) -> Growth:
    return Growth(found[0].what, median(one.redis for one in found), median(one.worker for one in found))


def _cpu() -> float:
    return time.process_time()
