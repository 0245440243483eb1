"""Walks over Redis: it works on the next batch while we compute on the last one. Counted on a stand-in."""

import asyncio
from typing import Any

from msgctl.config.settings import Settings
from msgctl.domain.messages import State
from msgctl.operations.context import Context
from msgctl.operations.messages.query import Query
from msgctl.operations.messages.search import REGISTRY_SCAN_COUNT, SUMMARY_BATCH_SIZE, MessageSearch
from msgctl.storage.redis import keys

ROW = ["failed", "ana", "web", "1", "1", "", "", "1000", "1000", "2026-01-01T00:00:00.000000Z", "c", "", "a", "0"]


class Slow:
    """Stands for Redis: one long registry of dead letters, and answers that take a few turns of the event loop."""

    def __init__(self, scans: int) -> None:
        self._scans = scans
        self.asked = 0
        self.answered = 0

    async def time(self) -> tuple[int, int]:
        """As TIME."""
        return 2, 0

    async def zscan(self, key: str, cursor: int, *, count: int) -> tuple[int, list[tuple[str, float]]]:
        """As ZSCAN, which brings a few more than it is asked for."""
        await turns(2)
        if key != keys.RQ_FAILED + keys.queue_name(1):
            return 0, []
        found = [(f"m{cursor}-{number}", 1.0) for number in range(count + 12)]
        return (cursor + 1) % self._scans, found

    async def execute_command(self, _name: str, _sha: str, _keys: int, _part: str, *ids: str) -> list[list[str]]:
        """As the script that reads messages."""
        self.asked += 1
        await turns(5)
        self.answered += 1
        return [ROW for _ in ids]


async def turns(number: int) -> None:
    """Let the event loop turn so often; one that is kept from turning lets no answer in, as with a real Redis."""
    for _ in range(number):
        await asyncio.sleep(0)


async def test_the_next_batch_is_on_its_way_while_one_is_read(settings: Settings) -> None:
    """Each batch but the last comes with the question for the next already asked, and is one question."""
    redis: Any = Slow(scans=10)
    search = MessageSearch(Context(settings, redis))
    on_their_way, sizes = [], []
    async for batch in search.walk(Query(state=State.FAILED)):
        on_their_way.append(redis.asked - redis.answered)
        sizes.append(len(batch))
    assert sizes == [REGISTRY_SCAN_COUNT + 12] * 10
    assert max(sizes) <= SUMMARY_BATCH_SIZE
    assert on_their_way == [1] * 9 + [0]
