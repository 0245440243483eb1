"""The six steps against real servers: each test checks what one outcome leaves in Redis."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from msgctl.agents.agents import Agent, Agents
from msgctl.config.settings import Settings
from msgctl.domain.messages import State
from msgctl.intake.accept import Intake, Submission
from msgctl.local.fakes.n8n import FakeN8n, N8nBehavior
from msgctl.observability.metrics import definitions as metrics
from msgctl.processing.answer_faults import Defect
from msgctl.processing.breakers import CircuitBreakers
from msgctl.processing.n8n import WorkflowClient
from msgctl.processing.pipeline import Pipeline
from msgctl.queue.job import Job
from msgctl.queue.leases import LeaseClient
from msgctl.queue.progress import ProgressWriter
from msgctl.queue.queue import Queue
from msgctl.storage.redis import keys


class PipelineRunner:
    """A pipeline with real dependencies, and methods to run messages through it."""

    def __init__(
        self, settings: Settings, redis: Any, agents: Agents, agent: Agent, workflow: WorkflowClient
    ) -> None:
        self.redis = redis
        self.agents = agents
        self.agent = agent
        self.queue = Queue(redis, settings)
        self.intake = Intake(self.queue, agents)
        self.leases = LeaseClient(redis, settings, "w1")
        self.pipeline = Pipeline(
            settings,
            leases=self.leases,
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

    async def process(self, message_id: str = "m") -> Job:
        """Process all messages that are ready, and return the job of one."""
        for leased in await self.leases.claim(10):
            await self.pipeline.process(leased)
        job = await self.queue.find(message_id)
        assert job is not None
        return job


@pytest.fixture
async def runner(settings: Settings, redis: Any) -> AsyncIterator[PipelineRunner]:
    """Return a runner with one agent of user u."""
    async with Agents(settings) as agents, WorkflowClient(settings) as workflow:
        agent = await agents.add(user_id="u", name="Ana", webhook_path="chat")
        yield PipelineRunner(settings, redis, agents, agent, workflow)


async def test_message_is_answered(runner: PipelineRunner, redis: Any) -> None:
    """The response is in the stream, the job is completed, and the history has both turns."""
    await runner.send()
    job = await runner.process()
    assert (job.state, job.progress, job.failed_runs) == (State.COMPLETED, 100, [])
    ((_, entry),) = await redis.xrange(keys.RESPONSES)
    assert "a question" in msgspec.json.decode(entry["body"])["response"]["message"]
    assert await redis.llen(keys.HISTORY + "c") == 2


@pytest.mark.parametrize("chosen", ["plain", None])
async def test_the_format_of_the_agent_goes_with_the_response(
    runner: PipelineRunner, redis: Any, chosen: str | None
) -> None:
    """A response names what its agent has set; without that the field is absent, as ever."""
    await runner.agents.change_settings(runner.agent.id, {"format": chosen})
    await runner.send()
    await runner.process()
    ((_, entry),) = await redis.xrange(keys.RESPONSES)
    assert msgspec.json.decode(entry["body"]).get("format") == chosen


async def test_observers_receive_each_step_of_a_quick_message(runner: PipelineRunner, redis: Any) -> None:
    """The commit publishes the progress that was not written before it, in order and once."""
    listener = redis.pubsub(ignore_subscribe_messages=True)
    try:
        await listener.subscribe(keys.PROGRESS_CHANNEL)
        await listener.get_message(timeout=5)
        await runner.send()
        await runner.process()
        received: list[int] = []
        while 100 not in received:
            message = await listener.get_message(timeout=5)
            assert message, received
            event = msgspec.json.decode(message["data"])
            assert (event["messageId"], event["conversationId"], event["userId"]) == ("m", "c", "u")
            received.append(event["progress"])
        assert received == [10, 20, 30, 50, 80, 100]
    finally:
        await listener.aclose()


async def test_second_message_has_the_first_in_its_history(runner: PipelineRunner, n8n: FakeN8n) -> None:
    """n8n receives the earlier turns, oldest first."""
    for message_id in ("first", "second"):
        await runner.send(message_id)
        await runner.process(message_id)
    assert [turn["role"] for turn in n8n.requests[1]["body"]["history"]] == ["user", "assistant"]


async def test_transient_fault_is_retried(runner: PipelineRunner, n8n: FakeN8n, redis: Any) -> None:
    """Each of three attempts is recorded. Then the message is a dead letter and its sender is notified."""
    n8n.reset(N8nBehavior(mode="500"))
    await runner.send()
    for attempt in (1, 2, 3):
        job = await runner.process()
        assert job.attempts == attempt
        assert job.state is (State.FAILED if attempt == 3 else State.DELAYED)
        await redis.zadd(keys.RQ_SCHEDULED + "messages:5", {"m": 1}, xx=True)
        await runner.leases.maintain()
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


async def test_final_fault_makes_a_dead_letter_immediately(runner: PipelineRunner, n8n: FakeN8n) -> None:
    """A fault that a retry cannot fix is not retried."""
    n8n.reset(N8nBehavior(mode="started"))
    await runner.send()
    job = await runner.process()
    assert (job.state, job.attempts) == (State.FAILED, 1)
    assert job.error is not None
    assert job.error["code"] == "n8n_misconfigured"


async def test_silent_answer_completes_the_message(runner: PipelineRunner, n8n: FakeN8n, redis: Any) -> None:
    """A workflow may finish a message without a reply. Nothing is delivered, and the next message runs."""
    n8n.reset(N8nBehavior(mode="silent", times=1))
    await runner.send("quiet")
    await runner.send("next")
    job = await runner.process("quiet")
    assert (job.state, job.progress, job.attempts, job.error) == (State.COMPLETED, 100, 1, None)
    assert await redis.exists(keys.RESPONSES) == 0
    history = [msgspec.json.decode(turn)["role"] for turn in await redis.lrange(keys.HISTORY + "c", 0, -1)]
    assert history == ["user"]
    assert await redis.ttl(keys.RQ_JOB + "quiet") > 0
    events = [fields["what"] for _, fields in await redis.xrange(keys.EVENTS) if fields["id"] == "quiet"]
    assert events == ["accepted", "claimed", "silent"]
    assert (await runner.process("next")).state is State.COMPLETED


async def test_silent_end_without_a_lease_changes_nothing(
    runner: PipelineRunner, n8n: FakeN8n, redis: Any
) -> None:
    """A worker that lost the lease does not complete the message."""
    n8n.reset(N8nBehavior(mode="silent"))
    await runner.send()
    (leased,) = await runner.leases.claim(1)
    await redis.delete(keys.LEASES)
    await runner.pipeline.process(leased)
    assert await redis.hget(keys.RQ_JOB + "m", "status") == "started"


@pytest.mark.parametrize(
    ("mode", "code", "defect"),
    [
        ("later", "n8n_misconfigured", Defect.LATER),
        ("handoff", "n8n_misconfigured", Defect.HANDOFF),
        ("image", "n8n_bad_reply", Defect.FILES_ONLY),
    ],
)
async def test_answer_that_cannot_be_delivered_is_final(
    runner: PipelineRunner, n8n: FakeN8n, mode: str, code: str, defect: Defect
) -> None:
    """One call suffices to know it, and nothing of the answer goes to the customer."""
    n8n.reset(N8nBehavior(mode=mode))
    await runner.send()
    job = await runner.process()
    assert job.error is not None
    assert (job.state, job.attempts, job.error["code"], job.error["defect"]) == (State.FAILED, 1, code, defect)
    assert "for this agent" in job.error["text"]
    assert [fields["kind"] for _, fields in await runner.redis.xrange(keys.RESPONSES)] == ["failure"]


async def test_several_parts_are_one_reply(runner: PipelineRunner, n8n: FakeN8n, redis: Any) -> None:
    """Several items of one answer are one response, in order, with a blank line between them."""
    n8n.reset(N8nBehavior(mode="two-items"))
    await runner.send()
    await runner.process()
    ((_, entry),) = await redis.xrange(keys.RESPONSES)
    first, _, second = msgspec.json.decode(entry["body"])["response"]["message"].partition("\n\n")
    assert first == second != ""


async def test_outage_of_n8n_does_not_count_as_an_attempt(
    runner: PipelineRunner, settings: Settings, redis: Any
) -> None:
    """A refused connection snoozes the message, and all its attempts are left when n8n is back."""
    down = Settings.model_validate(settings.model_dump() | {"n8n": {"base_url": "http://127.0.0.1:9"}})
    async with WorkflowClient(down) as unreachable:
        blocked = PipelineRunner(settings, redis, runner.agents, runner.agent, unreachable)
        await blocked.send()
        for _ in range(5):
            job = await blocked.process()
            assert (job.state, job.attempts) == (State.DELAYED, 0)
            await redis.zadd(keys.RQ_SCHEDULED + "messages:5", {"m": 1})
            await blocked.leases.maintain()
    assert (await runner.process()).state is State.COMPLETED


async def test_deleted_agent_ends_the_message(runner: PipelineRunner, settings: Settings) -> None:
    """An agent that is deleted after the message was accepted is a final fault with its own code."""
    await runner.send()
    runner.pipeline._agents = _NoAgents(settings)
    job = await runner.process()
    assert (job.state, job.error and job.error["code"]) == (State.FAILED, "agent_gone")


async def test_failure_without_a_lease_makes_no_dead_letter(
    runner: PipelineRunner, n8n: FakeN8n, redis: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A final failure after the lease was lost writes no dead letter, counts none, and logs none."""
    lost, dead = metrics.ATTEMPTS.labels("lease_lost")._value.get(), metrics.DEAD_LETTERS._value.get()
    n8n.reset(N8nBehavior(mode="started"))
    await runner.send()
    (leased,) = await runner.leases.claim(1)
    await redis.delete(keys.LEASES)
    await runner.pipeline.process(leased)
    assert (metrics.ATTEMPTS.labels("lease_lost")._value.get(), metrics.DEAD_LETTERS._value.get()) == (
        lost + 1,
        dead,
    )
    assert "Job failed" not in caplog.text
    assert await redis.xlen(keys.RESPONSES) == 0


class _NoAgents(Agents):
    async def find(self, agent_id: str) -> Agent | None:  # noqa: ARG002 - the signature is the real one's
        """Return None."""
        return None


async def test_next_message_runs_after_a_dead_letter(runner: PipelineRunner, n8n: FakeN8n) -> None:
    """A conversation continues after a message that failed for good."""
    n8n.reset(N8nBehavior(mode="started", times=1))
    await runner.send("bad")
    await runner.send("good")
    assert (await runner.process("bad")).state is State.FAILED
    assert (await runner.process("good")).state is State.COMPLETED
