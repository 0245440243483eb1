"""One call of an agent's workflow with a test question: what came, and how a worker would read it."""

import time
import uuid
from typing import TYPE_CHECKING, Any

import msgspec

from msgctl.config.settings import Settings
from msgctl.domain.errors import AttemptFailed, FaultClass, WorkflowUnreachable
from msgctl.domain.messages import Message, WireStruct
from msgctl.domain.times import timestamp
from msgctl.processing.answer_faults import AnswerFault
from msgctl.processing.answers import N8nAnswer
from msgctl.processing.n8n import WorkflowClient
from msgctl.processing.payload import prepare_payload

if TYPE_CHECKING:
    from msgctl.agents.agents import Agent  # it imports psycopg, which takes 0.1 s
    from msgctl.http.pool import PooledResponse


class WorkflowTrial(WireStruct, kw_only=True, frozen=True, omit_defaults=True):
    """What came of one call. A field without a value is absent."""

    agent_id: str
    path: str
    """The path that was called, below `n8n.base_url`."""
    seconds: float
    """From the call to its whole answer."""
    status: int | None = None
    """The HTTP status; absent if no answer came."""
    content_type: str = ""
    bytes: int | None = None
    """The size of the body as it came."""
    outcome: str
    """`reply`, `later`, `silent`, or `unusable`."""
    parts: list[dict[str, Any]] = msgspec.field(default_factory=list)
    """The parts of a reply: text, and how many attachments and choices."""
    streamed: bool = False
    handoff: bool = False
    """Whether the workflow hands the conversation to a human."""
    execution_id: str = ""
    warnings: list[str] = msgspec.field(default_factory=list)
    code: str = ""
    """The error code that a message would get."""
    defect: str = ""
    """The shape that made the answer unusable, e.g. `empty`."""
    retried: bool = False
    """Whether a worker would try again."""
    advice: str = ""
    """What is wrong, and what to change."""

    def to_record(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        record: dict[str, Any] = msgspec.to_builtins(self)
        return record

    @property
    def is_unreachable(self) -> bool:
        """Whether n8n gave no answer of its own: it is down, or its address is wrong."""
        return self.code in UNREACHABLE_CODES


UNREACHABLE_CODES = frozenset({WorkflowUnreachable.code, "n8n_down"})


async def try_workflow(settings: Settings, agent: "Agent", text: str) -> WorkflowTrial:
    """Call an agent's workflow once, as a worker does, and describe what came.

    Args:
        settings: `n8n.*`.
        agent: the agent; it may be disabled.
        text: the question.
    """
    answers: list[PooledResponse] = []
    message = _message(agent, text)
    started = time.monotonic()
    reading: N8nAnswer | AttemptFailed
    async with WorkflowClient(settings, observe=answers.append) as client:
        try:
            reading = await client.call(agent, message, prepare_payload(agent, message, []))
        except AttemptFailed as failure:
            reading = failure
    response = answers[-1] if answers else None
    return WorkflowTrial(
        agent_id=agent.id,
        path=f"/webhook/{agent.webhook_path}",
        seconds=round(time.monotonic() - started, 3),
        status=response.status if response else None,
        content_type=response.headers.get(b"content-type", b"").decode("latin-1") if response else "",
        bytes=len(response.body) if response else None,
        **(_describe_failure(reading) if isinstance(reading, AttemptFailed) else _describe_answer(reading)),
    )


def _message(agent: "Agent", text: str) -> Message:
    return Message(
        message_id=f"test-{uuid.uuid4()}",
        conversation_id=f"test-{uuid.uuid4()}",
        agent_id=agent.id,
        user_id=agent.user_id,
        message=text,
        timestamp=timestamp(),
    )


def _describe_answer(answer: N8nAnswer) -> dict[str, Any]:
    return {
        "outcome": str(answer.outcome),
        "parts": [
            {
                "text": part.text,
                **({"attachments": len(part.attachments)} if part.attachments else {}),
                **({"choices": len(part.choices)} if part.choices else {}),
            }
            for part in answer.parts
        ],
        "streamed": answer.streamed,
        "handoff": answer.handoff is not None,
        "execution_id": answer.execution_id,
        "warnings": list(answer.warnings),
    }


def _describe_failure(failure: AttemptFailed) -> dict[str, Any]:
    return {
        "outcome": "unusable",
        "code": failure.code,
        "defect": str(failure.reason) if isinstance(failure, AnswerFault) else "",
        "retried": failure.fault is not FaultClass.FINAL,
        "advice": failure.message,
    }
