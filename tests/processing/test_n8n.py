"""The client of n8n reads every usable answer and raises a typed error for every other one."""

import socket
from collections.abc import AsyncIterator

import msgspec
import pytest

from msgctl.agents.agents import Agent
from msgctl.config.settings import Settings
from msgctl.domain.errors import (
    AttemptFailed,
    BadReply,
    FaultClass,
    WorkflowMisconfigured,
    WorkflowRejected,
    WorkflowTimeout,
    WorkflowUnreachable,
)
from msgctl.domain.messages import Message, Turn
from msgctl.domain.n8n_outage import N8nDown
from msgctl.local.fakes.n8n import FakeN8n, N8nBehavior
from msgctl.observability import tracing
from msgctl.processing import n8n as n8n_module
from msgctl.processing.answer_faults import StreamFailed
from msgctl.processing.n8n import WorkflowClient
from msgctl.processing.payload import prepare_payload

AGENT = Agent(id="a-1", user_id="u", name="Ana", system_prompt="Be kind.", webhook_path="support/chat")
MESSAGE = Message(
    message_id="m-1",
    conversation_id="c-1",
    agent_id="a-1",
    user_id="u",
    message="Olá",
    timestamp="2026-01-01T00:00:00.000Z",
)
SECRET = "the customer's own words"


@pytest.fixture
async def workflow(settings: Settings) -> AsyncIterator[WorkflowClient]:
    """Return a client of the fake n8n with an API key and a short timeout."""
    changed = settings.n8n.model_copy(update={"timeout": 2.0, "max_answer": 65536})
    with_key = Settings.model_validate(
        settings.model_dump() | {"n8n": changed.model_dump() | {"api_key": "the-systems-own-key"}}
    )
    async with WorkflowClient(with_key) as client:
        yield client


async def call_with_secret(workflow: WorkflowClient) -> str:
    """Call the workflow with a private text and return the reply."""
    message = msgspec.structs.replace(MESSAGE, message=SECRET)
    return (await workflow.call(AGENT, message, prepare_payload(AGENT, message, []))).text


async def test_call_matches_the_contract(workflow: WorkflowClient, n8n: FakeN8n) -> None:
    """Path, headers, and body are those that n8n workflows expect."""
    history = [Turn(role="user", content="before", timestamp="2025-12-31T00:00:00Z")]
    await workflow.call(AGENT, MESSAGE, prepare_payload(AGENT, MESSAGE, history))
    (request,) = n8n.requests
    assert request["path"] == "/webhook/support/chat"
    headers = request["headers"]
    assert headers["x-api-key"] == "the-systems-own-key"
    assert headers["x-message-id"] == headers["idempotency-key"] == "m-1"
    assert headers["content-type"] == "application/json"
    assert headers["traceparent"].split("-")[1] == tracing.traceparent("m-1").split("-")[1]
    assert request["body"] == {
        "messageId": "m-1",
        "conversationId": "c-1",
        "sessionId": "c-1",
        "userId": "u",
        "agent": {"id": "a-1", "name": "Ana", "systemPrompt": "Be kind."},
        "message": "Olá",
        "chatInput": "Olá",
        "action": "sendMessage",
        "messages": [{"messageId": "m-1", "text": "Olá", "timestamp": "2026-01-01T00:00:00.000Z"}],
        "attempt": 1,
        "history": [{"role": "user", "content": "before", "timestamp": "2025-12-31T00:00:00Z"}],
        "channel": "web",
        "channelMetadata": {},
        "timestamp": "2026-01-01T00:00:00.000Z",
    }


@pytest.mark.parametrize("mode", ["ok", "array", "output", "text", "response", "two-items", "plain", "stream"])
async def test_each_shape_of_answer_is_read(workflow: WorkflowClient, n8n: FakeN8n, mode: str) -> None:
    """The text is found in each shape that real workflows use."""
    n8n.reset(N8nBehavior(mode=mode))
    assert SECRET in await call_with_secret(workflow)


@pytest.mark.parametrize(
    ("mode", "expected", "fault"),
    [
        ("empty", BadReply, FaultClass.FINAL),
        ("garbage", BadReply, FaultClass.FINAL),
        ("html", BadReply, FaultClass.FINAL),
        ("huge", BadReply, FaultClass.FINAL),
        ("no-text", BadReply, FaultClass.FINAL),
        ("truncated", AttemptFailed, FaultClass.TRANSIENT),
        ("stream-cut", StreamFailed, FaultClass.TRANSIENT),
        ("started", WorkflowMisconfigured, FaultClass.FINAL),
        ("starting", N8nDown, FaultClass.DEPENDENCY),
        ("redirect", WorkflowRejected, FaultClass.FINAL),
        ("403", WorkflowRejected, FaultClass.FINAL),
        ("422", WorkflowRejected, FaultClass.FINAL),
        ("404", N8nDown, FaultClass.DEPENDENCY),
        ("404-html", N8nDown, FaultClass.DEPENDENCY),
        ("429", N8nDown, FaultClass.DEPENDENCY),
        ("500", WorkflowRejected, FaultClass.TRANSIENT),
        ("502", N8nDown, FaultClass.DEPENDENCY),
        ("503", N8nDown, FaultClass.DEPENDENCY),
        ("504", N8nDown, FaultClass.DEPENDENCY),
        ("database", N8nDown, FaultClass.DEPENDENCY),
        ("no-respond-node", WorkflowRejected, FaultClass.TRANSIENT),
        ("hang", WorkflowTimeout, FaultClass.TRANSIENT),
        ("trickle", WorkflowTimeout, FaultClass.TRANSIENT),
    ],
)
async def test_bad_answer_raises_its_own_error(
    workflow: WorkflowClient, n8n: FakeN8n, mode: str, expected: type[AttemptFailed], fault: FaultClass
) -> None:
    """Each bad answer has its error class and fault class, and the error does not quote it."""
    n8n.reset(N8nBehavior(mode=mode))
    with pytest.raises(expected) as caught:
        await call_with_secret(workflow)
    assert caught.value.fault is fault
    assert SECRET not in caught.value.message


async def test_stream_larger_than_its_text_is_read(settings: Settings, n8n: FakeN8n) -> None:
    """`n8n.max_answer` limits the text of a streamed answer, and not the JSON around each word."""
    n8n.reset(N8nBehavior(mode="stream"))
    small = Settings.model_validate(settings.model_dump() | {"n8n": {"base_url": n8n.url, "max_answer": 1024}})
    message = msgspec.structs.replace(MESSAGE, message="word " * 150)
    async with WorkflowClient(small) as workflow:
        answer = await workflow.call(AGENT, message, prepare_payload(AGENT, message, []))
    assert answer.streamed
    assert "word word" in answer.text


async def test_retry_after_of_n8n_is_kept(workflow: WorkflowClient, n8n: FakeN8n) -> None:
    """The failure carries the seconds of Retry-After."""
    n8n.reset(N8nBehavior(mode="429", retry_after=7))
    with pytest.raises(N8nDown) as caught:
        await call_with_secret(workflow)
    assert caught.value.retry_after == 7


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://nowhere.invalid", "https://127.0.0.1:9"])
async def test_n8n_that_is_down_is_a_dependency_fault(settings: Settings, url: str) -> None:
    """A refused connection, an unknown host, and a missing TLS are not the fault of the message."""
    down = Settings.model_validate(settings.model_dump() | {"n8n": {"base_url": url}})
    async with WorkflowClient(down) as workflow:
        with pytest.raises(WorkflowUnreachable) as caught:
            await call_with_secret(workflow)
    assert caught.value.fault is FaultClass.DEPENDENCY


async def test_n8n_that_accepts_no_connection_is_a_dependency_fault(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that accepts no connection is down. It received no request, so no attempt counts."""
    monkeypatch.setattr(n8n_module, "CONNECT_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        with socket.create_connection(address):  # it fills the backlog, so the next connection is not accepted
            url = f"http://127.0.0.1:{address[1]}"
            down = Settings.model_validate(settings.model_dump() | {"n8n": {"base_url": url, "timeout": 30}})
            async with WorkflowClient(down) as workflow:
                with pytest.raises(WorkflowUnreachable) as caught:
                    await call_with_secret(workflow)
    assert caught.value.fault is FaultClass.DEPENDENCY
