"""A walk asks Redis for the next batch while it processes the previous one. A fake Redis counts the requests."""

import asyncio
from typing import Any

from msgctl.config.settings import Settings
from msgctl.domain.messages import State
from msgctl.operations.context import Context
from msgctl.operations.messages.query import Query
from msgctl.operations.messages.search import REGISTRY_SCAN_COUNT, SUMMARY_BATCH_SIZE, MessageSearch
from msgctl.storage.redis import keys

ROW = ["failed", "ana", "web", "1", "1", "", "", "1000", "1000", "2026-01-01T00:00:00.000000Z", "c", "", "a", "0"]


class SlowRedis:
    """A fake Redis with one long registry of dead letters. Its answers take a few turns of the event loop."""

    def __init__(self, scans: int) -> None:
        self._scans = scans
        self.requests = 0
        self.answers = 0

    async def time(self) -> tuple[int, int]:
        """Answer TIME."""
        return 2, 0

    async def zscan(self, key: str, cursor: int, *, count: int) -> tuple[int, list[tuple[str, float]]]:
        """Answer ZSCAN, which returns a few more entries than requested."""
        await turns(2)
        if key != keys.RQ_FAILED + keys.queue_name(1):
            return 0, []
        found = [(f"m{cursor}-{number}", 1.0) for number in range(count + 12)]
        return (cursor + 1) % self._scans, found

    async def execute_command(self, _name: str, _sha: str, _keys: int, _part: str, *ids: str) -> list[list[str]]:
        """Answer the script that reads messages."""
        self.requests += 1
        await turns(5)
        self.answers += 1
        return [ROW for _ in ids]


async def turns(number: int) -> None:
    """Let the event loop turn. Without turns no answer arrives, as with a real Redis."""
    for _ in range(number):
        await asyncio.sleep(0)


async def test_walk_requests_the_next_batch_before_it_yields_one(settings: Settings) -> None:
    """When a batch arrives, the next one has been requested. Each batch is one request."""
    redis: Any = SlowRedis(scans=10)
    search = MessageSearch(Context(settings, redis))
    in_flight, sizes = [], []
    async for batch in search.walk(Query(state=State.FAILED)):
        in_flight.append(redis.requests - redis.answers)
        sizes.append(len(batch))
    assert sizes == [REGISTRY_SCAN_COUNT + 12] * 10
    assert max(sizes) <= SUMMARY_BATCH_SIZE
    assert in_flight == [1] * 9 + [0]
