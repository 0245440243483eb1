"""An n8n that is down, in each form in which it or a proxy says so: the message waits, and is answered."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from msgctl.agents.agents import Agents
from msgctl.config.settings import Settings
from msgctl.domain.messages import State
from msgctl.domain.n8n_outage import N8nDown, OutageScope, PatienceExhausted
from msgctl.domain.retry import GiveUp, RetryLater, RetryPolicy, decide
from msgctl.intake.accept import Intake, Submission
from msgctl.local.fakes.n8n import FakeN8n, N8nBehavior
from msgctl.processing.n8n_downtime import is_n8n_down, is_reached, outage_scope
from msgctl.queue.job import Job
from msgctl.queue.queue import Queue
from msgctl.storage.redis import keys
from tests.support.mini_worker import mini_worker

PAGE = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
NOT_REGISTERED = b'{"code":404,"message":"The requested webhook \\"POST x\\" is not registered."}'
SCOPES = [
    ("nginx", 502, b"text/html", PAGE, OutageScope.N8N),
    ("nginx", 503, b"text/html", b"<html>503</html>", OutageScope.N8N),
    ("Cloudflare", 521, b"text/html", b"<!DOCTYPE html><title>521: Web server is down</title>", OutageScope.N8N),
    ("Traefik", 502, b"text/plain", b"Bad Gateway", OutageScope.N8N),
    ("Traefik", 503, b"text/plain", b"no available server", OutageScope.N8N),
    ("Envoy", 503, b"text/plain", b"no healthy upstream", OutageScope.N8N),
    ("n8n, or a workflow", 503, b"application/json", b'{"code":503,"message":"Database is not ready!"}', None),
    ("a workflow", 503, b"application/json", b'{"message":"closed"}', OutageScope.WORKFLOW),
    ("a workflow", 502, b"", b"", OutageScope.WORKFLOW),
    ("limits", 429, b"text/plain", b"Slow down", OutageScope.WORKFLOW),
    ("n8n", 404, b"application/json", NOT_REGISTERED, OutageScope.NOT_RUN),
    ("Traefik", 404, b"text/plain", b"404 page not found\n", OutageScope.NOT_RUN),
    ("nginx", 504, b"text/html", PAGE, OutageScope.MAY_HAVE_RUN),
    ("Cloudflare", 524, b"text/html", PAGE, OutageScope.MAY_HAVE_RUN),
    ("a proxy", 408, b"", b"", OutageScope.MAY_HAVE_RUN),
]
"""The source, the status, the type, the body, and what it says; None: of one workflow, as far as is known."""


@pytest.mark.parametrize(("source", "status", "content_type", "body", "scope"), SCOPES)
def test_scope_of_an_outage(
    source: str, status: int, content_type: bytes, body: bytes, scope: OutageScope | None
) -> None:
    """A page of a proxy speaks for all workflows; what a workflow may have said speaks for itself alone."""
    headers = {b"content-type": content_type}
    assert is_n8n_down(status, headers, body), source
    assert outage_scope(status, headers, body) is (scope or OutageScope.WORKFLOW), source


@pytest.mark.parametrize(
    ("status", "body", "reached"),
    [
        (404, NOT_REGISTERED, True),
        (404, b"<html>Cannot GET /webhook/msgctl-probe</html>", True),
        (405, b"", True),
        (501, b"<html>Unsupported method</html>", True),
        (200, b"{}", True),
        (401, b"", True),
        (502, PAGE, False),
        (504, PAGE, False),
        (503, b'{"code":503,"message":"Database is not ready!"}', False),
        (200, b"<html><title>n8n is starting up</title></html>", False),
        (429, b"", False),
    ],
)
def test_probe_is_read_by_what_answers(status: int, body: bytes, reached: bool) -> None:
    """Whoever refuses the probe's path or method serves; whoever says that n8n is down does not."""
    assert is_reached(status, {}, body) is reached


@pytest.mark.parametrize(
    ("scope", "down_for", "snoozes", "longest"),
    [
        (OutageScope.N8N, 0, 0, 1),
        (OutageScope.NOT_RUN, 60, 9, 6),
        (OutageScope.WORKFLOW, 60, 9, 72),
        (OutageScope.MAY_HAVE_RUN, 0, 0, 9.6),
        (OutageScope.WORKFLOW, 890, 9, 10),
    ],
)
def test_pause_fits_what_asking_costs(scope: OutageScope, down_for: float, snoozes: int, longest: float) -> None:
    """Asking soon is right where it is free, and no pause outlasts the patience."""
    decision = decide(
        RetryPolicy(), N8nDown("down", scope=scope), attempts=1, snoozes=snoozes, chance=1, down_for=down_for
    )
    assert isinstance(decision, RetryLater)
    assert not decision.counts_as_attempt
    assert decision.delay <= longest + 0.01


def test_retry_after_is_not_undercut_by_the_end_of_patience() -> None:
    """What n8n asks for is kept; and the patience ends."""
    failure = N8nDown("down", retry_after=120)
    decision = decide(RetryPolicy(), failure, attempts=1, snoozes=0, chance=0, down_for=899)
    assert decision == RetryLater(120, counts_as_attempt=False)
    assert decide(RetryPolicy(), failure, attempts=1, snoozes=0, chance=0, down_for=900) == GiveUp()


class Sender:
    """Sends messages to one agent, and waits for their ends."""

    def __init__(self, redis: Any, queue: Queue, agents: Agents, agent_id: str) -> None:
        self._redis = redis
        self.agents = agents
        self._queue = queue
        self._intake = Intake(queue, agents)
        self._agent_id = agent_id

    async def send(self, message_id: str) -> None:
        """Send a message in a conversation of its own."""
        submission = Submission(
            agent_id=self._agent_id, message="a question", conversation_id=f"c-{message_id}", message_id=message_id
        )
        await self._intake.accept(submission, "u")

    async def was_held(self, message_id: str, times: int) -> bool:
        """Return whether a message was held so often in a row."""
        return int(await self._redis.hget(keys.RQ_JOB + message_id, keys.FIELD_HOLDS) or 0) >= times

    async def find(self, message_id: str) -> Job:
        """Return the job of a message."""
        job = await self._queue.find(message_id)
        assert job is not None
        return job

    async def wait(self, message_id: str, *states: State) -> Job:
        """Return the job once it is in one of these states."""
        async with asyncio.timeout(60):
            while True:
                if (job := await self.find(message_id)).state in states:
                    return job
                await asyncio.sleep(0.02)


@pytest.fixture
async def agents(settings: Settings) -> AsyncIterator[Agents]:
    """Return the store of agents."""
    async with Agents(settings) as agents:
        yield agents


@pytest.fixture
async def sender(settings: Settings, redis: Any, agents: Agents) -> Sender:
    """Return a sender to a new agent."""
    agent = await agents.add(user_id="u", name="Ana", webhook_path="chat")
    queue = Queue(redis, settings)
    return Sender(redis, queue, agents, agent.id)


async def _until(holds: Callable[[], Awaitable[Any]]) -> None:
    async with asyncio.timeout(60):
        while True:
            if await holds():
                return
            await asyncio.sleep(0.02)


async def _has_size(redis: Any, size: int) -> bool:
    return bool(await redis.zcard(keys.N8N_HELD) == size)


@pytest.mark.parametrize("mode", ["502", "503", "504", "database", "starting", "404", "404-html", "429"])
async def test_one_message_outlasts_an_outage(
    settings: Settings, redis: Any, sender: Sender, n8n: FakeN8n, mode: str
) -> None:
    """In a quiet system a message is held, charged nothing, and answered soon after the return."""
    n8n.reset(N8nBehavior(mode=mode, retry_after=1))
    patient = settings.model_copy(update={"retry": settings.retry.model_copy(update={"base": 0.5, "hold": 0.5})})
    async with mini_worker(patient, redis, sender.agents):
        await sender.send("m")
        await _until(lambda: sender.was_held("m", 2))
        held = await sender.find("m")
        assert (held.state in {State.DELAYED, State.WAITING, State.ACTIVE}, held.attempts) == (True, 0)
        assert held.error is not None
        assert held.error["code"] == "n8n_down"
        n8n.behavior = N8nBehavior()
        job = await sender.wait("m", State.COMPLETED, State.FAILED)
    assert (job.state, job.attempts) == (State.COMPLETED, 1)


async def test_return_ends_a_long_pause_within_two_seconds(
    settings: Settings, redis: Any, sender: Sender, n8n: FakeN8n
) -> None:
    """A message that sleeps for a minute goes on when the probe reaches n8n, and so do all others, in steps."""
    n8n.reset(N8nBehavior(mode="502"))
    async with mini_worker(settings, redis, sender.agents):
        for number in range(12):
            await sender.send(f"m{number}")
        await _until(lambda: _has_size(redis, 12))
        for number in range(12):
            await redis.zadd(keys.RQ_SCHEDULED + "messages:5", {f"m{number}": time.time() + 600}, xx=True)
        calls = n8n.calls_by_message.total()
        n8n.behavior = N8nBehavior()
        jobs = [await sender.wait(f"m{number}", State.COMPLETED) for number in range(12)]
    assert {job.attempts for job in jobs} == {1}
    assert n8n.calls_by_message.total() - calls <= 12 + 1
    sizes = [int(fields["again_ms"]) for _, fields in await redis.xrange(keys.EVENTS) if fields["what"] == "held"]
    assert sizes
    assert await redis.exists(keys.N8N_HELD) == 0


async def test_retry_after_is_kept_when_n8n_is_back_sooner(
    settings: Settings, redis: Any, sender: Sender, n8n: FakeN8n
) -> None:
    """A message is not released before the time that n8n asked for."""
    n8n.reset(N8nBehavior(mode="503", retry_after=3))
    async with mini_worker(settings, redis, sender.agents):
        await sender.send("m")
        await sender.wait("m", State.DELAYED)
        held_at = time.monotonic()
        n8n.behavior = N8nBehavior()
        await sender.wait("m", State.COMPLETED)
    assert time.monotonic() - held_at > 2.5
    assert n8n.calls_by_message["m"] == 2


async def test_patience_ends_in_a_dead_letter_of_its_own_code(
    settings: Settings, redis: Any, sender: Sender, n8n: FakeN8n
) -> None:
    """Nothing is charged, the sender is told, and a replay begins with new patience."""
    n8n.reset(N8nBehavior(mode="502"))
    n8n_settings = settings.n8n.model_copy(update={"patience": 1.0})
    impatient = settings.model_copy(update={"n8n": n8n_settings})
    async with mini_worker(impatient, redis, sender.agents):
        await sender.send("m")
        job = await sender.wait("m", State.FAILED)
    assert job.error is not None
    assert (job.attempts, job.error["code"], job.error["class"]) == (0, PatienceExhausted.code, "dependency")
    assert "n8n.patience" in job.error["text"]
    ((_, entry),) = await redis.xrange(keys.RESPONSES)
    assert entry["kind"] == "failure"
    n8n.behavior = N8nBehavior()
    await Queue(redis, settings).replay("m")
    assert await redis.hget(keys.RQ_JOB + "m", keys.FIELD_DOWN_SINCE) is None


async def test_shut_gate_spares_n8n(settings: Settings, redis: Any, sender: Sender, n8n: FakeN8n) -> None:
    """After many failures in a row nobody calls n8n but the probe, and no message is lost or charged."""
    breaker = settings.breaker.model_copy(update={"streak": 5})
    tuned = settings.model_copy(update={"breaker": breaker})
    n8n.reset(N8nBehavior(mode="502"))
    async with mini_worker(tuned, redis, sender.agents):
        for number in range(5):
            await sender.send(f"first{number}")
        await _until(lambda: redis.hget(keys.N8N_OUTAGE, "shut"))
        calls = n8n.calls_by_message.total()
        for number in range(20):
            await sender.send(f"then{number}")
        for number in range(20):
            await sender.wait(f"then{number}", State.DELAYED)
        assert n8n.calls_by_message.total() - calls <= 5
        n8n.behavior = N8nBehavior()
        for number in range(20):
            assert (await sender.wait(f"then{number}", State.COMPLETED, State.FAILED)).state is State.COMPLETED
    assert await redis.hget(keys.N8N_OUTAGE, "shut") is None
