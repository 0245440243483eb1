"""The ledger in PostgreSQL: every event once, whatever stops, and what it takes to feed a new Redis."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from msgctl.agents.store import Agents
from msgctl.config.settings import Settings
from msgctl.domain.messages import State
from msgctl.ledger.archive import LedgerArchive
from msgctl.ledger.projector import Projector
from msgctl.ledger.stream import Ledger
from msgctl.local.fakes.n8n import FakeN8n
from msgctl.operations.context import Context
from msgctl.operations.entrance import Operations
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
    """Tells stories."""
    return Operations(settings, redis, Queue(redis, settings)).tracing


async def unfinished(archive: LedgerArchive) -> list[str]:
    """The ids that would be restored, in order."""
    return [row.message_id async for batch in archive.iter_unfinished() for row in batch]


async def test_events_are_carried_over_once_and_in_order(
    traffic: Traffic, projector: Projector, archive: LedgerArchive, redis: RedisClient, settings: Settings
) -> None:
    """What PostgreSQL has is what Redis has, to the last field; a second round finds nothing left."""
    await traffic.completed("m")
    assert await projector.project_batch() == 3
    assert await projector.project_batch() == 0
    assert await archive.read_message("m") == await Ledger(redis).read_after("0-0")
    assert await archive.read_conversation("of-m") == await archive.read_message("m")


async def test_two_projectors_carry_nothing_twice(
    traffic: Traffic, redis: RedisClient, settings: Settings, database: Database, archive: LedgerArchive
) -> None:
    """Side by side, one of them works and the other one steps back."""
    for number in range(20):
        await traffic.completed(f"m{number}")
    projectors = [Projector(redis, settings, database) for _ in range(2)]
    assert sum(await asyncio.gather(*(one.project_batch() for one in projectors))) >= 60
    for one in projectors:
        await one.project_batch()
    counts = [len(await archive.read_message(f"m{number}")) for number in range(20)]
    assert counts == [3] * 20


async def test_the_position_is_written_with_the_events(
    traffic: Traffic, projector: Projector, archive: LedgerArchive, redis: Any
) -> None:
    """A projector that dies before it can tell Redis goes on where its rows end."""
    await traffic.completed("one")
    await projector.project_batch()
    await redis.delete(keys.EVENTS_PROJECTED)
    await traffic.completed("two")
    assert await projector.project_batch() == 3
    assert len(await archive.read_message("one")) == 3


async def test_days_past_their_retention_are_dropped(
    projector: Projector, archive: LedgerArchive, redis: Any, settings: Settings
) -> None:
    """A partition a day; those older than `events.retention` go as a whole."""
    old = datetime.now(UTC) - timedelta(days=settings.events.retention + 2)
    for moment in (old, datetime.now(UTC)):
        entry = f"{round(moment.timestamp() * 1000)}-0"
        await redis.xadd(keys.EVENTS, {"id": "m", "what": "accepted", "by": "t"}, id=entry)
    assert await projector.project_batch() == 2
    await projector.drop_expired()
    assert len(await archive.read_message("m")) == 1


async def test_only_what_has_not_ended_keeps_its_text(
    traffic: Traffic, projector: Projector, archive: LedgerArchive
) -> None:
    """Bodies lie in PostgreSQL until the reply is delivered or the message is a dead letter."""
    await traffic.failed("dead")
    await traffic.completed("answered")
    await traffic.waiting("waits")
    await projector.project_batch()
    assert await unfinished(archive) == ["answered", "waits"]
    await traffic.queue.replay("dead")
    await projector.project_batch()
    assert set(await unfinished(archive)) == {"answered", "waits", "dead"}


async def test_a_lost_redis_is_fed_again(
    traffic: Traffic, projector: Projector, redis: Any, settings: Settings, queue: Queue
) -> None:
    """Accepted and unfinished messages come back in their order, once, and nothing else does."""
    await traffic.failed("dead")
    for number in (1, 2, 3):
        await traffic.waiting(f"m{number}", conversation="c")
    await projector.project_batch()
    await redis.flushdb()
    rebuilding = LedgerRestore(Context(settings, redis))
    dry = [one.outcome async for one in rebuilding.restore(dry_run=True)]
    assert dry == ["would_restore"] * 3
    assert await queue.find("m1") is None
    restored = [one.outcome async for one in rebuilding.restore(dry_run=False)]
    again = [one.outcome async for one in rebuilding.restore(dry_run=False)]
    assert (restored, again) == (["restored"] * 3, ["present"] * 3)
    assert await redis.lrange(keys.MAILBOX + "c", 0, -1) == ["m1", "m2", "m3"]
    assert await queue.find("dead") is None


async def test_rebuilding_agrees_with_a_sound_redis_and_finds_what_was_done_by_hand(
    traffic: Traffic, projector: Projector, redis: Any, settings: Settings
) -> None:
    """No difference after every kind of end; a status set by hand and a hash deleted by hand are named."""
    await traffic.failed("dead")
    await traffic.completed("answered")
    await traffic.waiting("waits")
    await traffic.waiting("vanishes")
    await projector.project_batch()
    await traffic.waiting("late")  # in Redis alone
    rebuilding = LedgerRestore(Context(settings, redis))
    assert (await rebuilding.compare())[1] == []
    await redis.hset(keys.job_key("waits"), "status", "finished")
    await redis.delete(keys.job_key("vanishes"))
    _, differences = await rebuilding.compare()
    found = {one.message_id: (one.rebuilt, one.live) for one in differences}
    assert found == {"waits": ("waiting", "completed"), "vanishes": ("waiting", "")}


async def test_a_story_joins_both_halves_and_survives_a_missing_postgres(
    traffic: Traffic, projector: Projector, redis: RedisClient, settings: Settings
) -> None:
    """Half in PostgreSQL, half in Redis: one story; without PostgreSQL it says so and tells what Redis has."""
    claimed = await traffic.active("m")
    await projector.project_batch()
    await traffic.fail(claimed)
    story = await tracing(settings, redis).trace(message_id="m")
    assert [event.what for event in story.events] == ["accepted", "claimed", "failed", "buried"]
    (standing,) = story.standings
    assert (standing.over, standing.well) == (True, False)
    assert "msgctl dlq replay m" in standing.advice
    nowhere = settings.postgres.model_copy(
        update={"url": type(settings.postgres.url)("postgresql://127.0.0.1:9/x")}
    )
    cut_off = settings.model_copy(update={"postgres": nowhere})
    story = await tracing(cut_off, redis).trace(message_id="m")
    assert len(story.events) == 4
    assert story.note.startswith("Only what Redis still has")


async def test_a_waiting_message_says_that_nobody_works(
    traffic: Traffic, redis: RedisClient, settings: Settings
) -> None:
    """Where it stopped, and the command that mends it."""
    await traffic.waiting("m")
    story = await tracing(settings, redis).trace(message_id="m")
    assert "msgctl start worker" in story.standings[0].advice


async def test_the_subscriber_projects(
    settings: Settings, redis: RedisClient, archive: LedgerArchive, queue: Queue, n8n: FakeN8n
) -> None:
    """With real daemons, the whole way of a message arrives in PostgreSQL, and its text leaves it."""
    async with Agents(settings) as agents:
        agent = await agents.add(user_id="ana", name="Ana", webhook_path="chat")
    traffic = Traffic(redis, settings)
    async with Daemon("subscriber", settings), Daemon("worker", settings):
        await traffic.waiting("m", user="ana", agent=agent.id)

        async def arrived() -> bool:
            return any(event.what == "kept" for event in await archive.read_message("m"))

        await until(arrived, "the ledger to tell of the delivery")
        job = await queue.find("m")
        assert job is not None
        assert job.state is State.COMPLETED
        whats = [event.what for event in await archive.read_message("m")]
        assert whats == ["accepted", "claimed", "committed", "kept"]
        committed = (await archive.read_message("m"))[2]
        steps = [step.partition(":")[0] for step in committed.evidence["steps"].split(",")]
        assert steps == ["agent", "history", "payload", "n8n", "publish"]
        assert await unfinished(archive) == []
