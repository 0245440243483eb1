"""The short forms of `make chaos`."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tools.chaos import crash_messages, duplicates, fault_per_call, outages, storm, worker_kills
from tools.chaos.environment import Place, place


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[Place]:
    """Servers that may be ill-treated."""
    async with place(tmp_path) as where:
        yield where


async def test_a_storm_loses_nothing(servers: Place) -> None:
    """Workers killed and frozen, n8n failing, Redis killed: nothing lost, nothing twice, every order kept."""
    report = await storm.Storm(servers, storm.SHORT).rage()
    assert report.holds, report
    assert report.n8n_calls >= report.n8n_needed


async def test_a_dead_worker_is_noticed(servers: Place) -> None:
    """What a killed worker ran is at work again within its lease and five seconds."""
    report = await worker_kills.deaths(servers, worker_kills.SHORT)
    assert report.holds, report


async def test_only_the_poison_dies(servers: Place) -> None:
    """Messages that kill their process end in the dead letters; those that ran beside them are answered."""
    report = await crash_messages.poison(servers, crash_messages.SHORT)
    assert report.holds, report
    assert report.deaths >= 1


async def test_a_pair_is_one_message(servers: Place) -> None:
    """Each message sent twice, many at the same instant, runs once; another body under its id is refused."""
    report = await duplicates.pairs(servers, 300)
    assert report.holds, report


async def test_all_work_goes_on_when_redis_is_back(servers: Place) -> None:
    """Redis stopped for 1 and 6 s, frozen for 6: claims, due retries and answers go on within 5 s, uncharged."""
    report = await outages.outages(servers, outages.SHORT)
    assert report.holds, "\n".join([*map(str, report.outages), *map(str, report.verdict.violations)])


async def test_stock_rq_is_struck_likewise(servers: Place) -> None:
    """The comparison with RQ as it comes runs, and strikes where it says."""
    rows = await fault_per_call.every_call_of_stock(servers, most=12, step=10)
    assert [row.calls for row in rows] == [2, 2]
