"""The worker as a process: what it does to messages, to signals, and in the eyes of RQ's tools."""

import asyncio
import sys
from collections.abc import AsyncIterator
from itertools import pairwise
from statistics import median
from typing import Any

import pytest
from redis import Redis as SyncRedis
from rq import Queue as RqQueue
from rq import Worker as RqWorker
from rq.job import Job as RqJob
from rq.job import JobStatus
from rq.registry import FailedJobRegistry, FinishedJobRegistry, StartedJobRegistry
from rq.serializers import JSONSerializer

from daemons.worker.loop import WAKE_TIMEOUT_S
from msgctl.agents.agents import Agent, Agents
from msgctl.config.settings import Settings
from msgctl.domain.messages import State
from msgctl.intake.accept import Intake, Submission
from msgctl.ledger.stream import Ledger
from msgctl.local.fakes.n8n import FakeN8n, N8nBehavior
from msgctl.queue.leases import OperatorCommand
from msgctl.queue.queue import Queue
from msgctl.storage.redis import keys
from tools.support.daemons import Daemon, until


class Sender:
    """Accepts messages of one user for one agent."""

    def __init__(self, queue: Queue, agents: Agents, agent: Agent) -> None:
        self.queue = queue
        self._intake = Intake(queue, agents)
        self._agent = agent

    async def send(self, message_id: str, conversation: str = "", priority: int = 5) -> None:
        """Accept a message in a new conversation or in the given one."""
        submission = Submission(
            agent_id=self._agent.id,
            message="hello",
            message_id=message_id,
            conversation_id=conversation or f"c-{message_id}",
            priority=priority,
        )
        await self._intake.accept(submission, "u")

    async def reached(self, message_id: str, state: State) -> None:
        """Wait until a message is in a state."""

        async def there() -> bool:
            job = await self.queue.find(message_id)
            return job is not None and job.state is state

        await until(there, f"{message_id} to be {state}")


@pytest.fixture
async def sender(settings: Settings, redis: Any) -> AsyncIterator[Sender]:
    """A sender with an agent."""
    async with Agents(settings) as agents:
        agent = await agents.add(user_id="u", name="Ana", webhook_path="chat")
        yield Sender(Queue(redis, settings), agents, agent)


@pytest.fixture
def rq_redis(settings: Settings) -> Any:
    """A connection such as RQ's own tools use."""
    redis = settings.redis
    client = SyncRedis(
        host=redis.host, port=redis.port, db=redis.database, password=redis.password.get_secret_value()
    )
    yield client
    client.close()


def with_worker(settings: Settings, **worker: float) -> Settings:
    """Return the settings with some of `worker.*` changed."""
    return settings.model_copy(update={"worker": settings.worker.model_copy(update=worker)})


async def test_worker_processes_messages_concurrently(settings: Settings, sender: Sender, n8n: FakeN8n) -> None:
    """With n slots, n messages of different conversations are at n8n at once."""
    n8n.reset(N8nBehavior(mode="hang"))
    async with Daemon("worker", with_worker(settings, concurrency=3, drain=0.1)):
        for number in range(5):
            await sender.send(f"m{number}")
        await until(lambda: n8n.calls_by_message.total() == 3, "three calls at once")
        stats = await sender.queue.stats()
        assert (stats.active, stats.waiting) == (3, 2)


async def test_idle_worker_is_woken_by_a_message(settings: Settings, sender: Sender, redis: Any) -> None:
    """A message to an idle worker is claimed because the worker was woken, not because it polled."""
    async with Daemon("worker", settings):
        await until(lambda: redis.scard(keys.IDLE_WORKERS), "the worker to be idle")
        for number in range(20):
            await sender.send(f"m{number}")
            await sender.reached(f"m{number}", State.COMPLETED)
    told = [event for event in await Ledger(redis).read_after("0-0") if event.what in {"accepted", "claimed"}]
    waits = [
        claimed.position[0] - accepted.position[0]
        for accepted, claimed in pairwise(told)
        if claimed.what == "claimed"
    ]
    assert len(waits) == 20
    assert median(waits) < WAKE_TIMEOUT_S * 1000 / 4  # a poll would have taken half a block on average


async def test_rq_tools_show_workers_and_messages(
    settings: Settings, sender: Sender, n8n: FakeN8n, rq_redis: Any
) -> None:
    """RQ's own classes show the worker and its running, waiting, and ended messages, and change nothing."""
    n8n.reset(N8nBehavior(mode="hang", times=1))
    await sender.send("runs", conversation="c", priority=1)
    await sender.send("waits", conversation="c", priority=1)
    async with Daemon("worker", with_worker(settings, drain=0.1)):
        await until(lambda: n8n.calls_by_message["runs"], "the first call")
        await sender.send("done", priority=2)
        await sender.reached("done", State.COMPLETED)

        queue = RqQueue("messages:1", connection=rq_redis, serializer=JSONSerializer)
        assert (queue.count, queue.deferred_job_registry.get_job_count(cleanup=False)) == (0, 1)
        started = StartedJobRegistry("messages:1", connection=rq_redis)
        assert started.get_job_ids() == ["runs"]
        assert FinishedJobRegistry("messages:2", connection=rq_redis).get_job_ids() == ["done"]
        assert FailedJobRegistry("messages:1", connection=rq_redis).get_job_ids() == []
        (worker,) = RqWorker.all(connection=rq_redis)
        assert (worker.get_state(), worker.successful_job_count) == ("busy", 1)
        assert [execution.job_id for execution in worker.get_current_executions()] == ["runs"]
        job = RqJob.fetch("runs", connection=rq_redis, serializer=JSONSerializer)
        assert (job.get_status(), job.origin, job.args) == (JobStatus.STARTED, "messages:1", ["runs"])
        assert job.description == "message runs"
        info = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "rq.cli", "info", "--raw", "--url", _url(settings)),
            stdout=asyncio.subprocess.PIPE,
        )
        printed, _ = await info.communicate()
        assert b"messages:1" in printed
        assert worker.name.encode() in printed


def _url(settings: Settings) -> str:
    redis = settings.redis
    return f"redis://:{redis.password.get_secret_value()}@{redis.host}:{redis.port}/{redis.database}"


async def test_sigterm_lets_running_messages_end(settings: Settings, sender: Sender, n8n: FakeN8n) -> None:
    """A worker that gets SIGTERM takes no new messages, finishes running ones, and exits with 0."""
    n8n.reset(N8nBehavior(delay=500))
    async with Daemon("worker", with_worker(settings, concurrency=1)) as worker:
        await sender.send("runs")
        await sender.send("waits")
        await until(lambda: n8n.calls_by_message["runs"], "the first call")
        worker.process.terminate()
        assert await worker.exited() == 0
    states = [job.state for job in await sender.queue.find_many(["runs", "waits"]) if job]
    assert states == [State.COMPLETED, State.WAITING]
    assert await sender.queue.live_workers() == []


async def test_second_sigterm_requeues_immediately(settings: Settings, sender: Sender, n8n: FakeN8n) -> None:
    """Running messages are requeued without counting an attempt, and another worker answers them."""
    n8n.reset(N8nBehavior(mode="hang", times=1))
    async with Daemon("worker", settings) as worker:
        await sender.send("m")
        await until(lambda: n8n.calls_by_message["m"], "the call")
        worker.process.terminate()
        await worker.said("Draining")
        worker.process.terminate()
        assert await worker.exited() == 0
    job = await sender.queue.find("m")
    assert job is not None
    assert (job.state, job.attempts, job.crashes) == (State.WAITING, 0, 0)
    async with Daemon("worker", settings):
        await sender.reached("m", State.COMPLETED)


async def test_drained_worker_finishes_and_waits(
    settings: Settings, sender: Sender, redis: Any, n8n: FakeN8n
) -> None:
    """A drained worker finishes running messages and takes no new ones until it is resumed."""
    n8n.reset(N8nBehavior(delay=1500))
    async with Daemon("worker", settings) as worker:
        await sender.send("runs")
        await until(lambda: n8n.calls_by_message["runs"], "the first call")
        (name,) = await sender.queue.live_workers()
        await redis.set(keys.ORDER + name, OperatorCommand.DRAIN)
        await worker.said("Drained")
        await sender.reached("runs", State.COMPLETED)
        await sender.send("waits")
        await redis.set(keys.ORDER + name, OperatorCommand.DRAIN)
        assert not await redis.sismember(keys.IDLE_WORKERS, name)
        assert (await sender.queue.stats()).waiting == 1
        await redis.delete(keys.ORDER + name)
        await sender.reached("waits", State.COMPLETED)


async def test_stop_command_ends_the_worker(settings: Settings, sender: Sender, redis: Any) -> None:
    """The command works like a signal."""
    async with Daemon("worker", settings) as worker:
        (name,) = await sender.queue.live_workers()
        await redis.set(keys.ORDER + name, OperatorCommand.STOP)
        assert await worker.exited() == 0


async def test_killed_worker_loses_no_message(settings: Settings, sender: Sender, n8n: FakeN8n) -> None:
    """After kill -9 another worker gets the message when the lease expires, and a crash is counted."""
    n8n.reset(N8nBehavior(mode="hang", times=1))
    short = with_worker(settings, lease=1)
    async with Daemon("worker", short) as killed:
        await sender.send("m")
        await until(lambda: n8n.calls_by_message["m"], "the call")
        killed.process.kill()
        await killed.exited()
    async with Daemon("worker", short):
        await sender.reached("m", State.COMPLETED)
    job = await sender.queue.find("m")
    assert job is not None
    assert (job.runs, job.attempts, job.crashes) == (2, 1, 1)  # the crash is none; the answer counts the one


async def test_frozen_worker_cannot_commit_late(
    settings: Settings, sender: Sender, n8n: FakeN8n, redis: Any
) -> None:
    """A worker that was stopped for longer than its lease finds the message answered by another worker."""
    n8n.reset(N8nBehavior(delay=1500))
    short = with_worker(settings, lease=1)
    async with Daemon("worker", short) as frozen:
        await sender.send("m")
        await until(lambda: n8n.calls_by_message["m"], "the call")
        frozen.process.send_signal(19)
        async with Daemon("worker", short):
            await sender.reached("m", State.COMPLETED)
            frozen.process.send_signal(18)
            await frozen.said("Lease lost")
    assert await redis.xlen(keys.RESPONSES) == 1


async def test_worker_registers_again_after_its_entry_expired(
    settings: Settings, sender: Sender, redis: Any, rq_redis: Any
) -> None:
    """After an outage in which the entry expired, RQ's tools see the whole worker again."""
    async with Daemon("worker", with_worker(settings, lease=1)) as worker:
        (before,) = RqWorker.all(connection=rq_redis)
        await redis.delete(before.key, *(f"rq:workers:{queue}" for queue in keys.QUEUES))
        await worker.said("registered with RQ again")
        await sender.send("m")
        await sender.reached("m", State.COMPLETED)
        (after,) = RqWorker.all(connection=rq_redis)
        assert (after.name, after.pid, after.hostname) == (before.name, before.pid, before.hostname)
        assert after.birth_date is not None
        assert RqWorker.all(queue=RqQueue("messages:1", connection=rq_redis)) == [after]


async def test_quarantine_child_ends_with_its_keeper(
    settings: Settings, sender: Sender, n8n: FakeN8n, redis: Any
) -> None:
    """When the keeper is killed, its child requeues and exits, so there is only one child."""
    n8n.reset(N8nBehavior(mode="hang", times=1))
    await sender.send("m")
    await redis.lrem(keys.RQ_QUEUE + "messages:5", 1, "m")
    await redis.hset(keys.job_key("m"), keys.FIELD_QUARANTINED, 1)
    await redis.rpush(keys.RQ_QUEUE + keys.QUARANTINE, "m")
    async with Daemon("worker", settings) as keeper:
        await until(lambda: n8n.calls_by_message["m"], "the child to call n8n")
        child = next(name for name in await sender.queue.live_workers() if name.startswith("quarantine-"))
        keeper.process.kill()

        async def gone() -> bool:
            return child not in await sender.queue.live_workers()

        await until(gone, "the child to leave")
    job = await sender.queue.find("m")
    assert job is not None
    assert (job.state, job.crashes) == (State.WAITING, 0)
    async with Daemon("worker", settings):
        await sender.reached("m", State.COMPLETED)


async def test_drained_worker_starts_no_quarantine_child(settings: Settings, sender: Sender, redis: Any) -> None:
    """A drained worker leaves the quarantine alone. A resumed one does not."""
    async with Daemon("worker", settings) as worker:
        (name,) = await sender.queue.live_workers()
        await redis.set(keys.ORDER + name, OperatorCommand.DRAIN)
        await worker.said("Drained")
        await sender.send("m")
        await redis.lrem(keys.RQ_QUEUE + "messages:5", 1, "m")
        await redis.hset(keys.job_key("m"), keys.FIELD_QUARANTINED, 1)
        await redis.rpush(keys.RQ_QUEUE + keys.QUARANTINE, "m")
        seen = await redis.hget(keys.TENDED, "at")

        async def tended_since() -> bool:
            return int(await redis.hget(keys.TENDED, "at")) > int(seen) + 1500

        await until(tended_since, "the worker to tend twice")
        assert await redis.get(keys.QUARANTINE_KEEPER) is None
        await redis.delete(keys.ORDER + name)
        await sender.reached("m", State.COMPLETED)


async def test_redis_that_evicts_keys_is_refused(settings: Settings, redis: Any) -> None:
    """The daemon exits with 78 and prints the command that fixes it, unless data loss is accepted."""
    await redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        async with Daemon("worker", settings) as refused:
            assert await refused.exited() == 78
        assert "CONFIG SET maxmemory-policy noeviction" in refused.output
        careless = settings.redis.model_copy(update={"accept_data_loss": True})
        async with Daemon("worker", settings.model_copy(update={"redis": careless})) as accepted:
            assert "slots" in accepted.status
    finally:
        await redis.config_set("maxmemory-policy", "noeviction")


async def test_unreachable_redis_is_one_readable_line(settings: Settings) -> None:
    """Exit 69, the address, no traceback and no password."""
    nowhere = settings.redis.model_copy(update={"port": 9})
    async with Daemon("worker", settings.model_copy(update={"redis": nowhere})) as worker:
        assert await worker.exited() == 69
    assert "redis://127.0.0.1:9/" in worker.output
    assert "Traceback" not in worker.output
    assert settings.redis.password.get_secret_value() not in worker.output


async def test_conversations_run_in_parallel_and_in_order(
    settings: Settings, sender: Sender, n8n: FakeN8n
) -> None:
    """One worker processes many conversations, each in order and each message once."""
    for number in range(60):
        await sender.send(f"m{number}", conversation=f"c{number % 6}")
    async with Daemon("worker", with_worker(settings, concurrency=10)):
        await asyncio.gather(*(sender.reached(f"m{number}", State.COMPLETED) for number in range(60)))
    for conversation in range(6):
        assert n8n.call_order[f"c{conversation}"] == [f"m{number}" for number in range(conversation, 60, 6)]
