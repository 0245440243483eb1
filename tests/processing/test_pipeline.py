"""The six steps with real servers around them: what each outcome leaves behind."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from msgctl.agents.agent import Agent
from msgctl.agents.store import Agents
from msgctl.config.settings import Settings
from msgctl.domain.messages import State
from msgctl.intake.accept import Intake, Submission
from msgctl.local.fakes.n8n import FakeN8n, N8nBehavior
from msgctl.observability.metrics import definitions as metrics
from msgctl.processing.breakers import CircuitBreakers
from msgctl.processing.n8n import WorkflowClient
from msgctl.processing.pipeline import Pipeline
from msgctl.queue.job import Job
from msgctl.queue.leases import LeaseClient, ProgressWriter
from msgctl.queue.queue import Queue
from msgctl.storage.redis import keys


class Bench:
    """Everything around a pipeline, and a message put through it."""

    def __init__(
        self, settings: Settings, redis: Any, agents: Agents, agent: Agent, workflow: WorkflowClient
    ) -> None:
        self.agents = agents
        self.agent = agent
        self.queue = Queue(redis, settings)
        self.intake = Intake(self.queue, agents)
        self.claims = LeaseClient(redis, settings, "w1")
        self.pipeline = Pipeline(
            settings,
            leases=self.claims,
            progress=ProgressWriter(redis),
            agents=agents,
            breakers=CircuitBreakers(redis, settings),
            workflow=workflow,
        )

    async def send(self, message_id: str = "m") -> None:
        """Accept a message of user u in conversation c."""
        submission = Submission(
            agent_id=self.agent.id, message="a question", conversation_id="c", message_id=message_id
        )
        await self.intake.accept(submission, "u")

    async def work(self, message_id: str = "m") -> Job:
        """Claim and work what is ready, and look at a message."""
        for claimed in await self.claims.claim(10):
            await self.pipeline.process(claimed)
        job = await self.queue.find(message_id)
        assert job is not None
        return job


@pytest.fixture
async def bench(settings: Settings, redis: Any) -> AsyncIterator[Bench]:
    """A bench with one agent of user u."""
    async with Agents(settings) as agents, WorkflowClient(settings) as workflow:
        agent = await agents.add(user_id="u", name="Ana", webhook_path="chat")
        yield Bench(settings, redis, agents, agent, workflow)


async def test_a_message_is_answered(bench: Bench, redis: Any) -> None:
    """The response is in the stream, the job is completed, the conversation remembers both turns."""
    await bench.send()
    job = await bench.work()
    assert (job.state, job.progress, job.failed_runs) == (State.COMPLETED, 100, [])
    ((_, entry),) = await redis.xrange(keys.RESPONSES)
    assert "a question" in msgspec.json.decode(entry["body"])["response"]["message"]
    assert await redis.llen(keys.HISTORY + "c") == 2


async def test_observers_hear_of_each_step_of_a_quick_message(bench: Bench, redis: Any) -> None:
    """The notes that were not written before the commit are told with it, in their order and once."""
    listener = redis.pubsub(ignore_subscribe_messages=True)
    try:
        await listener.subscribe(keys.PROGRESS_CHANNEL)
        await listener.get_message(timeout=5)
        await bench.send()
        await bench.work()
        heard: list[int] = []
        while 100 not in heard:
            message = await listener.get_message(timeout=5)
            assert message, heard
            event = msgspec.json.decode(message["data"])
            assert (event["messageId"], event["conversationId"], event["userId"]) == ("m", "c", "u")
            heard.append(event["progress"])
        assert heard == [10, 20, 30, 50, 80, 100]
    finally:
        await listener.aclose()


async def test_the_second_message_knows_the_first(bench: Bench, n8n: FakeN8n) -> None:
    """The history that n8n is sent holds what was said before, oldest first."""
    for message_id in ("one", "two"):
        await bench.send(message_id)
        await bench.work(message_id)
    assert [turn["role"] for turn in n8n.requests[1]["body"]["history"]] == ["user", "assistant"]


async def test_a_transient_fault_is_tried_again(bench: Bench, n8n: FakeN8n, redis: Any) -> None:
    """Three attempts, each kept with its class, text and length; then a dead letter, and its sender is told."""
    n8n.reset(N8nBehavior(mode="500"))
    await bench.send()
    for attempt in (1, 2, 3):
        job = await bench.work()
        assert job.attempts == attempt
        assert job.state is (State.FAILED if attempt == 3 else State.DELAYED)
        await redis.zadd(keys.RQ_SCHEDULED + "messages:5", {"m": 1}, xx=True)
        await bench.claims.maintain()
    assert [(record["run"], record["code"]) for record in job.failed_runs] == [
        (1, "n8n_rejected"),
        (2, "n8n_rejected"),
        (3, "n8n_rejected"),
    ]
    assert all(record["ms"] >= 0 and "HTTP 500" in record["text"] for record in job.failed_runs)
    assert all(record["startedAt"] <= record["at"] for record in job.failed_runs)
    ((_, entry),) = await redis.xrange(keys.RESPONSES)
    assert (entry["kind"], msgspec.json.decode(entry["body"])["code"]) == ("failure", "n8n_rejected")
    assert n8n.calls_by_message["m"] == 3


async def test_a_final_fault_is_a_dead_letter_at_once(bench: Bench, n8n: FakeN8n) -> None:
    """What no repetition mends is not repeated."""
    n8n.reset(N8nBehavior(mode="started"))
    await bench.send()
    job = await bench.work()
    assert (job.state, job.attempts) == (State.FAILED, 1)
    assert job.error is not None
    assert job.error["code"] == "n8n_misconfigured"


async def test_n8n_being_down_charges_nothing(bench: Bench, settings: Settings, redis: Any) -> None:
    """A refused connection holds the message; once n8n is there it is answered with its whole budget left."""
    down = Settings.model_validate(settings.model_dump() | {"n8n": {"base_url": "http://127.0.0.1:9"}})
    async with WorkflowClient(down) as unreachable:
        held = Bench(settings, redis, bench.agents, bench.agent, unreachable)
        await held.send()
        for _ in range(5):
            job = await held.work()
            assert (job.state, job.attempts) == (State.DELAYED, 0)
            await redis.zadd(keys.RQ_SCHEDULED + "messages:5", {"m": 1})
            await held.claims.maintain()
    assert (await bench.work()).state is State.COMPLETED


async def test_an_agent_that_is_gone_ends_the_message(bench: Bench, settings: Settings) -> None:
    """Deleted between acceptance and work: final, and said so."""
    await bench.send()
    bench.pipeline._agents = _NoAgents(settings)
    job = await bench.work()
    assert (job.state, job.error and job.error["code"]) == (State.FAILED, "agent_gone")


async def test_a_failure_without_a_lease_is_no_dead_letter(
    bench: Bench, n8n: FakeN8n, redis: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Whose lease ran out before it failed for good has buried nothing, and neither counts nor says so."""
    lost, dead = metrics.ATTEMPTS.labels("lease_lost")._value.get(), metrics.DEAD_LETTERS._value.get()
    n8n.reset(N8nBehavior(mode="started"))
    await bench.send()
    (claimed,) = await bench.claims.claim(1)
    await redis.delete(keys.LEASES)
    await bench.pipeline.process(claimed)
    assert (metrics.ATTEMPTS.labels("lease_lost")._value.get(), metrics.DEAD_LETTERS._value.get()) == (
        lost + 1,
        dead,
    )
    assert "Job failed" not in caplog.text
    assert await redis.xlen(keys.RESPONSES) == 0


class _NoAgents(Agents):
    async def find(self, agent_id: str) -> Agent | None:  # noqa: ARG002 - the signature is the real one's
        """Nobody is here any more."""
        return None


async def test_the_next_message_runs_after_a_dead_letter(bench: Bench, n8n: FakeN8n) -> None:
    """A conversation goes on past a message that failed for good."""
    n8n.reset(N8nBehavior(mode="started", times=1))
    await bench.send("bad")
    await bench.send("good")
    assert (await bench.work("bad")).state is State.FAILED
    assert (await bench.work("good")).state is State.COMPLETED
