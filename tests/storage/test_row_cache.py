"""The memory of agents by itself: how long, how many, and who shares a query."""

import asyncio

import pytest

from msgctl.agents.agents import Agent
from msgctl.domain.errors import PostgresUnavailable
from msgctl.storage.postgres.row_cache import RowCache
from tools.support.daemons import until


class Source:
    """What the cache asks: answers with an agent of the asked id, and counts."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.absent: set[str] = set()
        self.down = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def load(self, agent_id: str) -> Agent | None:
        """The agent, once the gate is open."""
        self.asked.append(agent_id)
        name = f"version {len(self.asked)}"
        await self.gate.wait()
        if self.down:
            raise PostgresUnavailable("down")
        if agent_id in self.absent:
            return None
        return Agent(id=agent_id, user_id="ana", name=name, webhook_path="chat")


async def test_many_who_ask_at_once_share_one_query() -> None:
    """A hundred lookups of one id are one question."""
    source = Source()
    cache = RowCache(source.load, ttl_s=60)
    found = await asyncio.gather(*(cache.get("a") for _ in range(100)))
    assert len(source.asked) == 1
    assert len({id(agent) for agent in found}) == 1


async def test_a_row_is_forgotten_after_its_time() -> None:
    """It is asked for again when `ttl` has passed, and not before."""
    source = Source()
    cache = RowCache(source.load, ttl_s=0.2)
    await cache.get("a")
    await cache.get("a")
    assert len(source.asked) == 1

    async def asked_again() -> bool:
        await cache.get("a")
        return len(source.asked) == 2

    await until(asked_again, "the row to be forgotten")


async def test_absence_is_remembered_too() -> None:
    """A flood of lookups of an id that is not there is one question."""
    source = Source()
    source.absent = {"a"}
    cache = RowCache(source.load, ttl_s=60)
    assert [await cache.get("a") for _ in range(3)] == [None] * 3
    assert len(source.asked) == 1


async def test_the_memory_is_bounded() -> None:
    """The id that was not asked for longest makes room for a new one."""
    source = Source()
    cache = RowCache(source.load, ttl_s=60, max_rows=2)
    for agent_id in ("a", "b", "a", "c", "a"):
        await cache.get(agent_id)
    assert source.asked == ["a", "b", "c"]
    await cache.get("b")
    assert source.asked[3:] == ["b"]


@pytest.mark.parametrize("forget", ["drop", "clear"])
async def test_an_answer_from_before_a_change_is_not_remembered(forget: str) -> None:
    """A change during a query makes its answer old: whoever asks next asks PostgreSQL."""
    source = Source()
    source.gate.clear()
    cache = RowCache(source.load, ttl_s=60)
    early = asyncio.create_task(cache.get("a"))
    await until(lambda: source.asked, "the query to be under way")
    if forget == "drop":
        cache.invalidate("a")
    else:
        cache.clear()
    source.gate.set()
    await early
    found = await cache.get("a")
    assert found is not None
    assert found.name == "version 2"


async def test_a_failure_is_not_remembered() -> None:
    """All who waited are told, and the next one asks again."""
    source = Source()
    source.down = True
    cache = RowCache(source.load, ttl_s=60)
    outcomes = await asyncio.gather(cache.get("a"), cache.get("a"), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {PostgresUnavailable}
    source.down = False
    assert await cache.get("a") is not None


async def test_one_who_gives_up_does_not_take_the_others_answer() -> None:
    """A cancelled lookup leaves the shared query to those who still wait."""
    source = Source()
    source.gate.clear()
    cache = RowCache(source.load, ttl_s=60)
    impatient, patient = (asyncio.create_task(cache.get("a")) for _ in range(2))
    await until(lambda: source.asked, "the query to be under way")
    impatient.cancel()
    source.gate.set()
    assert await patient is not None
    assert len(source.asked) == 1
