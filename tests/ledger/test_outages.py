"""The ledger survives a PostgreSQL that is killed and a Redis that loses its data."""

import os
import shutil
import signal
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from daemons.subscriber import ledger_task
from msgctl.agents.agents import Agents
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
    """Kill a server as a power cut would. `start` starts it again with the same folder and port."""
    assert server.pid
    os.kill(server.pid, signal.SIGKILL)
    await server.stop()


@pytest.fixture
async def own_postgres(tmp_path: Path) -> AsyncIterator[PostgresServer]:
    """Return a PostgreSQL of the test's own."""
    async with PostgresServer(tmp_path / "postgres", durable=False) as server:
        yield server


@pytest.fixture
async def short_ledger(
    settings: Settings, own_postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """Return settings with that PostgreSQL, a short ledger, and a projector that retries soon."""
    monkeypatch.setattr(ledger_task, "LEDGER_RETRY_INTERVAL_S", 0.2)
    sections = {
        "postgres": settings.postgres.model_copy(update={"url": type(settings.postgres.url)(own_postgres.url())}),
        "events": settings.events.model_copy(update={"stream": 1000}),
    }
    changed = settings.model_copy(update=sections)
    await migrate(changed)
    return changed


async def archived(settings: Settings, ids: Sequence[str]) -> list[Event]:
    """Return the events of some messages in PostgreSQL."""
    async with Database(settings) as database:
        return [event for message_id in ids for event in await LedgerArchive(database).read_message(message_id)]


async def wait_until_copied(settings: Settings, redis: RedisClient, ids: Sequence[str]) -> None:
    """Wait until PostgreSQL has the same events of these messages as Redis."""
    ledger = Ledger(redis)

    async def is_same() -> bool:
        events = [event for message_id in ids for event in await ledger.read_related([message_id], None, "0-0")]
        return bool(events) and await archived(settings, ids) == events

    await until(is_same, "the ledger to be copied")


async def test_outage_of_postgres_loses_and_duplicates_no_event(
    traffic: Traffic, short_ledger: Settings, redis: RedisClient, own_postgres: PostgresServer
) -> None:
    """PostgreSQL is killed and started again. All events are there once and in order."""
    names = {when: [f"{when}{number}" for number in range(10)] for when in ("before", "during", "after")}
    async with ledger_task.ledger_task(redis, short_ledger):
        for name in names["before"]:
            await traffic.completed(name)
        await wait_until_copied(short_ledger, redis, names["before"][:5])
        await kill(own_postgres)
        for name in names["during"]:
            await traffic.completed(name)
        assert len(await Ledger(redis).read_after("0-0")) == 60
        await own_postgres.start()
        for name in names["after"]:
            await traffic.completed(name)
        all_names = [name for group in names.values() for name in group]
        await wait_until_copied(short_ledger, redis, all_names)
    assert len(await archived(short_ledger, all_names)) == 90


async def test_long_outage_of_postgres_drops_and_counts_the_oldest_events(
    traffic: Traffic, short_ledger: Settings, redis: Any, own_postgres: PostgresServer
) -> None:
    """Beyond `events.stream` the oldest events are cut and counted. The others are copied after the outage."""
    await kill(own_postgres)
    async with ledger_task.ledger_task(redis, short_ledger):
        async with redis.pipeline(transaction=False) as pipeline:
            for number in range(3000):
                pipeline.xadd(keys.EVENTS, {"id": f"m{number}", "what": "accepted", "by": "test"})
            await pipeline.execute()
        await LeaseClient(redis, short_ledger, "w1").maintain()
        length = await redis.xlen(keys.EVENTS)
        assert 1000 <= length < 1200
        await own_postgres.start()
        await wait_until_copied(short_ledger, redis, ["m2999"])
    async with Database(short_ledger) as database, database.connection() as connection:
        rows = await (await connection.execute(b"SELECT count(*) FROM message_events")).fetchall()
    assert rows[0]["count"] == length
    assert int(await redis.get(keys.EVENTS_LOST)) == 3000 - length


async def test_redis_that_lost_its_data_is_restored_and_all_are_answered(
    settings: Settings, tmp_path: Path, n8n: FakeN8n
) -> None:
    """After a kill and an empty disk, unfinished messages are answered once and ended ones are not."""
    password = settings.redis.password.get_secret_value()
    async with ValkeyServer(tmp_path / "valkey", password=password) as server, Agents(settings) as directory:
        lost = settings.model_copy(update={"redis": settings.redis.model_copy(update={"port": server.port})})
        agent = (await directory.add(user_id="ana", name="Ana", webhook_path="chat")).id
        async with connect(lost) as redis, Daemon("subscriber", lost):
            traffic = Traffic(redis, lost)
            async with Daemon("worker", lost):
                for number in range(5):
                    await traffic.waiting(f"ended{number}", agent=agent)
                await wait_until_answered(redis, lost, [f"ended{number}" for number in range(5)])
            for number in range(10):
                await traffic.waiting(f"open{number}", conversation=f"c{number % 3}", agent=agent)
            await wait_until_copied(lost, redis, [f"open{number}" for number in range(10)])
            calls_before = n8n.calls_by_message.total()
            await kill(server)
            shutil.rmtree(server.folder)
            await server.start()
            restored = LedgerRestore(Context(lost, redis)).restore(dry_run=False)
            outcomes = [result.outcome async for result in restored]
            assert outcomes == ["restored"] * 10
            async with Daemon("worker", lost):
                await wait_until_answered(redis, lost, [f"open{number}" for number in range(10)])
            assert n8n.calls_by_message.total() - calls_before == 10
            await wait_for_projector(redis, lost)
            _, differences = await LedgerRestore(Context(lost, redis)).compare()
            missing = [(row.message_id, row.rebuilt, row.live) for row in differences]
            assert missing == [(f"ended{number}", "completed", "") for number in range(5)]


async def wait_until_answered(redis: RedisClient, settings: Settings, ids: Sequence[str]) -> None:
    """Wait until these messages are answered and their responses retained."""
    queue = Queue(redis, settings)

    async def is_done() -> bool:
        jobs = await queue.find_many(ids)
        retained = [await redis.exists(keys.DELIVERY + message_id) for message_id in ids]
        return bool(all(retained) and {job.state for job in jobs if job} == {State.COMPLETED})

    await until(is_done, "all messages to be answered")


async def wait_for_projector(redis: RedisClient, settings: Settings) -> None:
    """Wait until PostgreSQL has the newest event of this Redis."""
    newest = (await Ledger(redis).read_newest(1))[0].entry

    async def has_caught_up() -> bool:
        async with Database(settings) as database:
            return await LedgerArchive(database).read_position() == newest

    await until(has_caught_up, "the projector to catch up")
