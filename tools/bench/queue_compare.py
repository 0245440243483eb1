"""No-op jobs, our worker beside RQ's own: each queue is filled one job at a time, then drained by one process."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from msgctl.storage.redis.client import RedisClient
from tools.bench import report
from tools.bench.children import Cost, run_contender
from tools.bench.measure import median
from tools.bench.servers import Place

CONTENDERS = {
    "rq-fork": "RQ `Worker`",
    "rq-simple": "RQ `SimpleWorker`",
    "ours": "msgctl worker",
    "ours-claims": "msgctl, bare scripts",
}
FILLED_BY = {"rq-fork": "rq-simple", "rq-simple": "rq-simple", "ours": "ours", "ours-claims": "ours"}


class Result(msgspec.Struct, frozen=True):
    """Medians of one contender; CPU in microseconds a job."""

    rate: float
    """Jobs a second."""
    cpu: float
    round_trips: float
    commands: float
    redis_cpu: float
    enqueue_cpu: float
    enqueue_redis_cpu: float


async def hold(
    place: Place, redis: RedisClient, *, rounds: int, jobs: int, stock_jobs: int
) -> Mapping[str, Result]:
    """Measure all contenders, round by round.

    Args:
        place: where they run.
        redis: emptied before each of them.
        rounds: repetitions, whose medians count.
        jobs: how many for ours.
        stock_jobs: how many for RQ's SimpleWorker; a fifth of it for its Worker.
    """
    counts = {"rq-fork": stock_jobs // 5, "rq-simple": stock_jobs}
    fills: dict[str, list[Cost]] = {name: [] for name in CONTENDERS}
    drains: dict[str, list[Cost]] = {name: [] for name in CONTENDERS}
    for _ in range(rounds):
        for name in CONTENDERS:
            await redis.flushall()
            count = counts.get(name, jobs)
            fills[name].append(await run_contender(place, redis, FILLED_BY[name], "fill", count))
            drains[name].append(await run_contender(place, redis, name, "drain", count))
    return {name: _summarise(fills[name], drains[name]) for name in CONTENDERS}


def table(results: Mapping[str, Result], *, rounds: int, concurrency: int) -> report.Table:
    """The results as they are shown."""
    stock = results["rq-simple"]
    heading = ["one process", "jobs/s", "of SimpleWorker", "worker CPU µs", "round trips", "Redis commands"]
    return report.Table(
        f"No-op jobs, the cost of one; {concurrency} at once where a worker can; medians of {rounds}",
        [*heading, "Redis CPU µs", "enqueue CPU µs", "enqueue Redis µs"],
        [
            [
                CONTENDERS[name],
                f"{result.rate:,.0f}",
                f"{result.rate / stock.rate:.1f} x",
                f"{result.cpu:,.0f}",
                f"{result.round_trips:.2f}",
                f"{result.commands:.1f}",
                f"{result.redis_cpu:,.0f}",
                f"{result.enqueue_cpu:,.0f}",
                f"{result.enqueue_redis_cpu:,.0f}",
            ]
            for name, result in results.items()
        ],
    )


def _summarise(fills: Sequence[Cost], drains: Sequence[Cost]) -> Result:
    return Result(
        rate=_median(drains, lambda cost: cost.rate),
        cpu=_median(drains, lambda cost: cost.cpu),
        round_trips=_median(drains, lambda cost: cost.round_trips),
        commands=_median(drains, lambda cost: cost.commands),
        redis_cpu=_median(drains, lambda cost: cost.redis_cpu),
        enqueue_cpu=_median(fills, lambda cost: cost.cpu),
        enqueue_redis_cpu=_median(fills, lambda cost: cost.redis_cpu),
    )


def _median(costs: Sequence[Cost], value: Callable[[Cost], float]) -> float:
    return median(map(value, costs))
