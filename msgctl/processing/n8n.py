"""n8n: one call of an agent's workflow, and every way it can answer.

Nothing of a customer's text or of n8n's answer enters an error: both may be private.
"""

import asyncio
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Self

import msgspec

from msgctl.agents.agent import Agent
from msgctl.config.settings import Settings
from msgctl.domain.errors import (
    AttemptFailed,
    BadReply,
    ConfigurationError,
    WorkflowMisconfigured,
    WorkflowRejected,
    WorkflowTimeout,
    WorkflowUnreachable,
)
from msgctl.domain.messages import Message, Reply, Turn
from msgctl.domain.retry import N8N_TRANSIENT_STATUSES, classify_status, parse_retry_after
from msgctl.http.pool import ConnectFailed, ConnectionBroken, HttpPool, PooledResponse, ResponseTooLarge
from msgctl.observability import tracing
from msgctl.observability.metrics import definitions as metrics

STARTED_TEXT = "Workflow was started"
"""What n8n says when the webhook is set to respond at once: a wrong setting, never a reply."""
HINT_BY_HTTP_STATUS = {
    401: "n8n wants other credentials: set n8n.api_key",
    403: "n8n wants other credentials: set n8n.api_key",
    404: "n8n knows no such webhook, or not yet: is the workflow active, its path right, its method POST",
    413: "the message with its history is larger than n8n takes",
    422: "n8n could not read the body",
    500: "the workflow failed: see its executions in n8n",
}
EXECUTION_ID_PATTERN = re.compile(r"[\w-]{1,64}")
CONNECT_TIMEOUT_S = 10.0
"""Seconds to connect to n8n; after that it counts as down."""
MAX_RETRY_AFTER_S = 86_400.0
"""Seconds a `Retry-After` may ask for at most; a number without end would be none."""
KEEP_ALIVE_S = 4.0
"""Seconds an idle connection is kept: one less than Node's own five, so that n8n never closes one we are using."""


class WorkflowResult(msgspec.Struct, frozen=True):
    """What a workflow answered."""

    reply: Reply
    execution_id: str = ""
    """n8n's id of the execution, where the workflow tells it: `executionId` in the JSON."""


class WorkflowClient:
    """The client of n8n, one for a process.

    Args:
        settings: `n8n.*`.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings.n8n
        self._pool = HttpPool(
            settings.n8n.base_url,
            connect_timeout_s=CONNECT_TIMEOUT_S,
            keep_alive_s=KEEP_ALIVE_S,
            max_body_bytes=settings.n8n.max_answer,
        )
        key = settings.n8n.api_key.get_secret_value()
        if key and not (key.isascii() and key.isprintable()):
            raise ConfigurationError("[n8n] api_key holds what no header may hold: printable ASCII alone.")
        self._fixed_headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        self._fixed_headers |= {"X-API-Key": key} if key else {}

    async def __aenter__(self) -> Self:
        """Nothing is opened before the first call."""
        return self

    async def __aexit__(self, *_exc_info: object) -> None:
        """Close every connection."""
        self._pool.close()

    async def call(self, agent: Agent, message: Message, payload: bytes) -> WorkflowResult:
        """Ask an agent's workflow for its reply.

        Args:
            agent: whose webhook to call.
            message: names the call for n8n (`X-Message-Id`, `Idempotency-Key`); n8n may see one twice.
            payload: of `prepare_payload`, JSON.

        Raises:
            WorkflowUnreachable, WorkflowTimeout, WorkflowRejected, WorkflowMisconfigured, BadReply.
        """
        begun = time.monotonic()
        outcome = AttemptFailed.code
        try:
            answer = await self._post(agent, message, payload)
            outcome = "ok"
        except AttemptFailed as failure:
            outcome = failure.code
            raise
        finally:
            metrics.N8N_DURATION.labels(outcome).observe(time.monotonic() - begun)
        return answer

    async def _post(self, agent: Agent, message: Message, payload: bytes) -> WorkflowResult:
        try:
            async with asyncio.timeout(self._settings.timeout):
                answer = await self._pool.post(
                    f"/webhook/{agent.webhook_path.lstrip('/')}", self._headers(message), payload
                )
        except TimeoutError:
            raise WorkflowTimeout(f"n8n gave no answer within {self._settings.timeout:g} s.") from None
        except ConnectFailed as error:
            raise WorkflowUnreachable(f"n8n cannot be reached ({error}): is it running at n8n.base_url?") from None
        except ResponseTooLarge:
            raise BadReply(f"n8n's answer is larger than {self._settings.max_answer} bytes.") from None
        except ConnectionBroken as error:
            raise AttemptFailed(f"The connection to n8n broke ({error}).") from None
        if answer.status >= 300:
            raise _to_rejection(answer)
        return WorkflowResult(read_reply(answer.body), read_execution_id(answer.body))

    def _headers(self, message: Message) -> dict[str, str]:
        return {
            **self._fixed_headers,
            "X-Message-Id": message.message_id,
            "Idempotency-Key": message.message_id,
            "traceparent": tracing.traceparent(message.message_id),
        }


def prepare_payload(agent: Agent, message: Message, history: Sequence[Turn]) -> bytes:
    """The body of the call, as JSON: the message, who it is for, and what was said before."""
    return msgspec.json.encode(
        {
            "messageId": message.message_id,
            "conversationId": message.conversation_id,
            "userId": message.user_id,
            "agent": {"id": agent.id, "name": agent.name, "systemPrompt": agent.system_prompt},
            "message": message.message,
            "history": history,
            "channel": message.channel,
            "channelMetadata": message.channel_metadata,
            "timestamp": message.timestamp,
        }
    )


def read_reply(body: bytes) -> Reply:
    """What the agent said, in any of the shapes that real workflows answer in.

    Raises:
        BadReply: empty, not JSON, or without a text.
        WorkflowMisconfigured: n8n's own note that the workflow was started.
    """
    if not body.strip():
        raise BadReply("n8n's answer is empty: does the workflow end in Respond to Webhook, with data?")
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadReply("n8n's answer is not JSON: set Respond to Webhook to JSON.") from None
    if isinstance(answer, list) and len(answer) == 1:
        answer = answer[0]
    if isinstance(answer, dict) and isinstance(answer.get("response"), dict):
        answer = answer["response"]
    if not isinstance(answer, dict):
        raise BadReply("n8n's answer is not one JSON object.")
    return _to_reply(answer)


def read_execution_id(body: bytes) -> str:
    """The `executionId` of an answer; empty where the workflow does not tell it."""
    if b"executionId" not in body:
        return ""
    with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        found = msgspec.json.decode(body)
        found = found[0] if isinstance(found, list) and found else found
        told = found.get("executionId") if isinstance(found, dict) else None
        if isinstance(told, str | int) and EXECUTION_ID_PATTERN.fullmatch(str(told)):
            return str(told)
    return ""


def _to_reply(answer: dict[str, Any]) -> Reply:
    text = next((answer[key] for key in ("message", "output", "text", "response") if answer.get(key)), None)
    if not isinstance(text, str) or not text.strip():
        raise BadReply("n8n's answer holds no text under message, output, text or response.")
    if text == STARTED_TEXT:
        raise WorkflowMisconfigured(
            "The webhook responds at once, before the agent: set its Respond to 'Using Respond to Webhook Node' "
            "or 'When Last Node Finishes'."
        )
    tokens, model, reason = answer.get("tokensUsed"), answer.get("model"), answer.get("finishReason")
    return Reply(
        message=text,
        tokens_used=tokens if isinstance(tokens, int) and not isinstance(tokens, bool) else None,
        model=model if isinstance(model, str) else None,
        finish_reason=reason if isinstance(reason, str) else None,
    )


def _to_rejection(answer: PooledResponse) -> WorkflowRejected:
    advice = "it redirects, which is not followed: set n8n.base_url to where it leads"
    if answer.status >= 400:
        advice = HINT_BY_HTTP_STATUS.get(answer.status, "see n8n's log")
    return WorkflowRejected(
        answer.status,
        f"n8n answered HTTP {answer.status}: {advice}.",
        fault=classify_status(answer.status, N8N_TRANSIENT_STATUSES),
        retry_after=parse_retry_after(
            answer.headers.get(b"retry-after", b"").decode("latin-1"), now=time.time(), longest=MAX_RETRY_AFTER_S
        ),
    )
