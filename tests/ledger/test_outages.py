"""The ledger through the loss of either half: a PostgreSQL that is killed, and a Redis whose data are gone."""

import os
import shutil
import signal
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from daemons.subscriber import ledger_task
from msgctl.agents.store import Agents
from msgctl.config.settings import Settings
from msgctl.domain.messages import State
from msgctl.ledger.archive import LedgerArchive
from msgctl.ledger.event import Event
from msgctl.ledger.stream import Ledger
from msgctl.local.fakes.n8n import FakeN8n
from msgctl.local.servers.base import EmbeddedServer
from msgctl.local.servers.postgres import PostgresServer
from msgctl.local.servers.valkey import ValkeyServer
from msgctl.operations.context import Context
from msgctl.operations.ledger_restore import LedgerRestore
from msgctl.queue.leases import LeaseClient
from msgctl.queue.queue import Queue
from msgctl.storage.postgres.database import Database
from msgctl.storage.postgres.migrations import migrate
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.connections import connect
from tests.support.messages import Traffic, traffic
from tools.support.daemons import Daemon, until

__all__ = ["traffic"]


async def kill(server: EmbeddedServer) -> None:
    """End a server as a power cut would; `start` begins another one on the same folder and port."""
    assert server.pid
    os.kill(server.pid, signal.SIGKILL)
    await server.stop()


@pytest.fixture
async def mortal(tmp_path: Path) -> AsyncIterator[PostgresServer]:
    """A PostgreSQL of the test's own."""
    async with PostgresServer(tmp_path / "postgres", durable=False) as server:
        yield server


@pytest.fixture
async def own(settings: Settings, mortal: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The test's settings with that PostgreSQL, a short ledger and an impatient projector."""
    monkeypatch.setattr(ledger_task, "LEDGER_RETRY_INTERVAL_S", 0.2)
    sections = {
        "postgres": settings.postgres.model_copy(update={"url": type(settings.postgres.url)(mortal.url())}),
        "events": settings.events.model_copy(update={"stream": 1000}),
    }
    changed = settings.model_copy(update=sections)
    await migrate(changed)
    return changed


async def archived(settings: Settings, ids: Sequence[str]) -> list[Event]:
    """What PostgreSQL has of some messages."""
    async with Database(settings) as database:
        return [event for one in ids for event in await LedgerArchive(database).read_message(one)]


async def caught_up(settings: Settings, redis: RedisClient, ids: Sequence[str]) -> None:
    """Return once PostgreSQL has, of these messages, just what Redis has."""
    ledger = Ledger(redis)

    async def same() -> bool:
        told = [event for one in ids for event in await ledger.read_related([one], None, "0-0")]
        return bool(told) and await archived(settings, ids) == told

    await until(same, "the ledger to be carried over")


async def test_an_outage_of_postgres_loses_no_event_and_doubles_none(
    traffic: Traffic, own: Settings, redis: RedisClient, mortal: PostgresServer
) -> None:
    """Killed in the middle and started again: what came before, meanwhile and after is there once, in order."""
    names = {when: [f"{when}{number}" for number in range(10)] for when in ("before", "meanwhile", "after")}
    async with ledger_task.ledger_task(redis, own):
        for name in names["before"]:
            await traffic.completed(name)
        await caught_up(own, redis, names["before"][:5])
        await kill(mortal)
        for name in names["meanwhile"]:
            await traffic.completed(name)
        assert len(await Ledger(redis).read_after("0-0")) == 60
        await mortal.start()
        for name in names["after"]:
            await traffic.completed(name)
        everyone = [name for group in names.values() for name in group]
        await caught_up(own, redis, everyone)
    assert len(await archived(own, everyone)) == 90


async def test_a_long_outage_of_postgres_is_bounded_in_redis_and_counted(
    traffic: Traffic, own: Settings, redis: Any, mortal: PostgresServer
) -> None:
    """Beyond `events.stream` the oldest events go and are counted; the rest is carried over when it is back."""
    await kill(mortal)
    async with ledger_task.ledger_task(redis, own):
        async with redis.pipeline(transaction=False) as pipeline:
            for number in range(3000):
                pipeline.xadd(keys.EVENTS, {"id": f"m{number}", "what": "accepted", "by": "test"})
            await pipeline.execute()
        await LeaseClient(redis, own, "w1").maintain()
        length = await redis.xlen(keys.EVENTS)
        assert 1000 <= length < 1200
        await mortal.start()
        await caught_up(own, redis, ["m2999"])
    async with Database(own) as database, database.connection() as connection:
        rows = await (await connection.execute(b"SELECT count(*) FROM message_events")).fetchall()
    assert rows[0]["count"] == length
    assert int(await redis.get(keys.EVENTS_LOST)) == 3000 - length


async def test_a_redis_whose_data_are_gone_is_fed_again_and_everyone_is_answered(
    settings: Settings, tmp_path: Path, n8n: FakeN8n
) -> None:
    """Killed, and its disk empty: what was unfinished is answered once, what was over is not."""
    password = settings.redis.password.get_secret_value()
    async with ValkeyServer(tmp_path / "valkey", password=password) as server, Agents(settings) as directory:
        lost = settings.model_copy(update={"redis": settings.redis.model_copy(update={"port": server.port})})
        agent = (await directory.add(user_id="ana", name="Ana", webhook_path="chat")).id
        async with connect(lost) as redis, Daemon("subscriber", lost):
            traffic = Traffic(redis, lost)
            async with Daemon("worker", lost):
                for number in range(5):
                    await traffic.waiting(f"over{number}", agent=agent)
                await answered(redis, lost, [f"over{number}" for number in range(5)])
            for number in range(10):
                await traffic.waiting(f"open{number}", conversation=f"c{number % 3}", agent=agent)
            await caught_up(lost, redis, [f"open{number}" for number in range(10)])
            asked = n8n.calls_by_message.total()
            await kill(server)
            shutil.rmtree(server.folder)
            await server.start()
            outcomes = [one.outcome async for one in LedgerRestore(Context(lost, redis)).restore(dry_run=False)]
            assert outcomes == ["restored"] * 10
            async with Daemon("worker", lost):
                await answered(redis, lost, [f"open{number}" for number in range(10)])
            assert n8n.calls_by_message.total() - asked == 10
            await caught_up_since(redis, lost)
            _, differences = await LedgerRestore(Context(lost, redis)).compare()
            gone = [(one.message_id, one.rebuilt, one.live) for one in differences]
            assert gone == [(f"over{number}", "completed", "") for number in range(5)]


async def answered(redis: RedisClient, settings: Settings, ids: Sequence[str]) -> None:
    """Return once these are answered and their replies kept."""
    queue = Queue(redis, settings)

    async def done() -> bool:
        jobs = await queue.find_many(ids)
        kept = [await redis.exists(keys.DELIVERY + one) for one in ids]
        return bool(all(kept) and {job.state for job in jobs if job} == {State.COMPLETED})

    await until(done, "everyone to be answered")


async def caught_up_since(redis: RedisClient, settings: Settings) -> None:
    """Return once PostgreSQL stands at the newest event of this Redis."""
    newest = (await Ledger(redis).read_newest(1))[0].entry

    async def there() -> bool:
        async with Database(settings) as database:
            return await LedgerArchive(database).read_position() == newest

    await until(there, "the projector to catch up")
