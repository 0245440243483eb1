"""The projector copies every event to PostgreSQL once, and the copy can restore an empty Redis."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from msgctl.agents.agents import Agents
from msgctl.config.settings import Settings
from msgctl.domain.messages import State
from msgctl.ledger.archive import LedgerArchive
from msgctl.ledger.projector import Projector
from msgctl.ledger.stream import Ledger
from msgctl.local.fakes.n8n import FakeN8n
from msgctl.operations.context import Context
from msgctl.operations.ledger_restore import LedgerRestore
from msgctl.operations.messages.trace import MessageTracer
from msgctl.queue.queue import Queue
from msgctl.storage.postgres.database import Database
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.messages import Traffic, traffic
from tools.support.daemons import Daemon, until

__all__ = ["traffic"]


def tracing(settings: Settings, redis: RedisClient) -> MessageTracer:
    """Return the tracer of messages."""
    return MessageTracer(Context(settings, redis, Queue(redis, settings)))


async def unfinished(archive: LedgerArchive) -> list[str]:
    """Return the ids that would be restored, in order."""
    return [row.message_id async for batch in archive.iter_unfinished() for row in batch]


async def test_events_are_copied_once_and_in_order(
    traffic: Traffic, projector: Projector, archive: LedgerArchive, redis: RedisClient, settings: Settings
) -> None:
    """PostgreSQL has exactly the events of Redis, and a second call finds no others."""
    await traffic.completed("m")
    assert await projector.project_batch() == 3
    assert await projector.project_batch() == 0
    assert await archive.read_message("m") == await Ledger(redis).read_after("0-0")
    assert await archive.read_conversation("of-m") == await archive.read_message("m")


async def test_two_projectors_copy_nothing_twice(
    traffic: Traffic, redis: RedisClient, settings: Settings, database: Database, archive: LedgerArchive
) -> None:
    """Of two concurrent projectors one copies and the other skips."""
    for number in range(20):
        await traffic.completed(f"m{number}")
    projectors = [Projector(redis, settings, database) for _ in range(2)]
    assert sum(await asyncio.gather(*(projector.project_batch() for projector in projectors))) >= 60
    for projector in projectors:
        await projector.project_batch()
    counts = [len(await archive.read_message(f"m{number}")) for number in range(20)]
    assert counts == [3] * 20


async def test_position_is_written_with_the_events(
    traffic: Traffic, projector: Projector, archive: LedgerArchive, redis: Any
) -> None:
    """A projector that dies before it writes its position to Redis continues after its last row."""
    await traffic.completed("one")
    await projector.project_batch()
    await redis.delete(keys.EVENTS_PROJECTED)
    await traffic.completed("two")
    assert await projector.project_batch() == 3
    assert len(await archive.read_message("one")) == 3


async def test_days_older_than_the_retention_are_dropped(
    projector: Projector, archive: LedgerArchive, redis: Any, settings: Settings
) -> None:
    """Each day is a partition, and partitions older than `events.retention` are dropped."""
    old = datetime.now(UTC) - timedelta(days=settings.events.retention + 2)
    for moment in (old, datetime.now(UTC)):
        entry = f"{round(moment.timestamp() * 1000)}-0"
        await redis.xadd(keys.EVENTS, {"id": "m", "what": "accepted", "by": "t"}, id=entry)
    assert await projector.project_batch() == 2
    await projector.drop_expired()
    assert len(await archive.read_message("m")) == 1


async def test_only_unfinished_messages_keep_their_text(
    traffic: Traffic, projector: Projector, archive: LedgerArchive
) -> None:
    """PostgreSQL keeps the text until the reply is delivered or the message is a dead letter."""
    await traffic.failed("dead")
    await traffic.completed("answered")
    await traffic.waiting("waits")
    await projector.project_batch()
    assert await unfinished(archive) == ["answered", "waits"]
    await traffic.queue.replay("dead")
    await projector.project_batch()
    assert set(await unfinished(archive)) == {"answered", "waits", "dead"}


async def test_lost_redis_is_restored(
    traffic: Traffic, projector: Projector, redis: Any, settings: Settings, queue: Queue
) -> None:
    """Only the unfinished messages are restored, in order and once."""
    await traffic.failed("dead")
    for number in (1, 2, 3):
        await traffic.waiting(f"m{number}", conversation="c")
    await projector.project_batch()
    await redis.flushdb()
    restoring = LedgerRestore(Context(settings, redis))
    dry = [result.outcome async for result in restoring.restore(dry_run=True)]
    assert dry == ["would_restore"] * 3
    assert await queue.find("m1") is None
    restored = [result.outcome async for result in restoring.restore(dry_run=False)]
    repeated = [result.outcome async for result in restoring.restore(dry_run=False)]
    assert (restored, repeated) == (["restored"] * 3, ["present"] * 3)
    assert await redis.lrange(keys.MAILBOX + "c", 0, -1) == ["m1", "m2", "m3"]
    assert await queue.find("dead") is None


async def test_comparison_finds_only_manual_changes(
    traffic: Traffic, projector: Projector, redis: Any, settings: Settings
) -> None:
    """A sound Redis has no difference. A status set by hand and a hash deleted by hand are found."""
    await traffic.failed("dead")
    await traffic.completed("answered")
    await traffic.waiting("waits")
    await traffic.waiting("vanishes")
    await projector.project_batch()
    await traffic.waiting("late")  # only in Redis
    restoring = LedgerRestore(Context(settings, redis))
    assert (await restoring.compare())[1] == []
    await redis.hset(keys.job_key("waits"), "status", "finished")
    await redis.delete(keys.job_key("vanishes"))
    _, differences = await restoring.compare()
    states = {difference.message_id: (difference.rebuilt, difference.live) for difference in differences}
    assert states == {"waits": ("waiting", "completed"), "vanishes": ("waiting", "")}


async def test_trace_joins_both_ledgers_and_works_without_postgres(
    traffic: Traffic, projector: Projector, redis: RedisClient, settings: Settings
) -> None:
    """A trace has the events of both. Without PostgreSQL it has a note and the events of Redis."""
    claimed = await traffic.active("m")
    await projector.project_batch()
    await traffic.fail(claimed)
    trace = await tracing(settings, redis).trace(message_id="m")
    assert [event.what for event in trace.events] == ["accepted", "claimed", "failed", "buried"]
    (diagnosis,) = trace.standings
    assert (diagnosis.over, diagnosis.well) == (True, False)
    assert "msgctl dlq replay m" in diagnosis.advice
    nowhere = settings.postgres.model_copy(
        update={"url": type(settings.postgres.url)("postgresql://127.0.0.1:9/x")}
    )
    offline = settings.model_copy(update={"postgres": nowhere})
    trace = await tracing(offline, redis).trace(message_id="m")
    assert len(trace.events) == 4
    assert trace.note.startswith("Only the events that Redis still has")


async def test_trace_of_a_waiting_message_says_that_no_worker_runs(
    traffic: Traffic, redis: RedisClient, settings: Settings
) -> None:
    """It names the command that fixes this."""
    await traffic.waiting("m")
    trace = await tracing(settings, redis).trace(message_id="m")
    assert "msgctl start worker" in trace.standings[0].advice


async def test_subscriber_projects_the_ledger(
    settings: Settings, redis: RedisClient, archive: LedgerArchive, queue: Queue, n8n: FakeN8n
) -> None:
    """With real daemons all events of a message reach PostgreSQL, and its text is deleted there."""
    async with Agents(settings) as agents:
        agent = await agents.add(user_id="ana", name="Ana", webhook_path="chat")
    traffic = Traffic(redis, settings)
    async with Daemon("subscriber", settings), Daemon("worker", settings):
        await traffic.waiting("m", user="ana", agent=agent.id)

        async def arrived() -> bool:
            return any(event.what == "kept" for event in await archive.read_message("m"))

        await until(arrived, "the ledger to have the delivery")
        job = await queue.find("m")
        assert job is not None
        assert job.state is State.COMPLETED
        whats = [event.what for event in await archive.read_message("m")]
        assert whats == ["accepted", "claimed", "committed", "kept"]
        committed = (await archive.read_message("m"))[2]
        steps = [step.partition(":")[0] for step in committed.evidence["steps"].split(",")]
        assert steps == ["agent", "history", "payload", "n8n", "publish"]
        assert await unfinished(archive) == []
