"""The client of n8n: it calls an agent's workflow and reads its answer.

An error never quotes the text of a customer or the answer of n8n, because both may be private.
"""

import asyncio
import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

import msgspec

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
from msgctl.domain.messages import Message, Reply
from msgctl.domain.retry import N8N_TRANSIENT_STATUSES, classify_status, parse_retry_after
from msgctl.http.pool import ConnectFailed, ConnectionBroken, HttpPool, PooledResponse, ResponseTooLarge
from msgctl.observability import tracing
from msgctl.observability.metrics import definitions as metrics

if TYPE_CHECKING:
    from msgctl.agents.agents import Agent  # it imports psycopg, which takes 0.1 s

STARTED_TEXT = "Workflow was started"
"""What n8n answers if the webhook is set to respond immediately. It is a wrong setting and never a reply."""
HINT_BY_HTTP_STATUS = {
    401: "n8n does not accept the credentials: set n8n.api_key",
    403: "n8n does not accept the credentials: set n8n.api_key",
    404: "n8n does not know this webhook, or not yet: activate the workflow, and check its path and method (POST)",
    413: "the message with its history is larger than n8n accepts",
    422: "n8n could not read the body",
    500: "the workflow failed: see its executions in n8n",
}
EXECUTION_ID_PATTERN = re.compile(r"[\w-]{1,64}")
CONNECT_TIMEOUT_S = 10.0
"""Seconds to connect to n8n. After that it counts as down."""
MAX_RETRY_AFTER_S = 86_400.0
"""The longest `Retry-After` in seconds that is obeyed. A longer one is cut to it."""
KEEP_ALIVE_S = 4.0
"""Seconds for which an idle connection is kept: one less than Node's default of 5, so that n8n never closes a
connection that is about to be used."""


class WorkflowResult(msgspec.Struct, frozen=True):
    """The answer of a workflow."""

    reply: Reply
    execution_id: str = ""
    """n8n's id of the execution, `executionId` in the JSON; empty if the workflow does not send it."""


class WorkflowClient:
    """The client of n8n, one per process.

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
            raise ConfigurationError(
                "[n8n] api_key has characters that a header must not have: use printable ASCII only."
            )
        self._fixed_headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        self._fixed_headers |= {"X-API-Key": key} if key else {}

    async def __aenter__(self) -> Self:
        """Return the client. It opens no connection before the first call."""
        return self

    async def __aexit__(self, *_exc_info: object) -> None:
        """Close every connection."""
        self._pool.close()

    async def call(self, agent: "Agent", message: Message, payload: bytes) -> WorkflowResult:
        """Call an agent's workflow and return its reply.

        Args:
            agent: the agent whose webhook is called.
            message: its id identifies the call (`X-Message-Id`, `Idempotency-Key`); n8n may see the same id twice.
            payload: JSON made by `prepare_payload`.

        Raises:
            WorkflowUnreachable: no connection could be made.
            WorkflowTimeout: no complete answer came within `n8n.timeout` seconds.
            WorkflowRejected: n8n answered with an HTTP status other than 2xx.
            WorkflowMisconfigured: the webhook responds before the workflow has run.
            BadReply: the answer is too large, or is not a reply.
            AttemptFailed: the connection broke.
        """
        started = time.monotonic()
        outcome = AttemptFailed.code
        try:
            result = await self._post(agent, message, payload)
            outcome = "ok"
        except AttemptFailed as failure:
            outcome = failure.code
            raise
        finally:
            metrics.N8N_DURATION.labels(outcome).observe(time.monotonic() - started)
        return result

    async def _post(self, agent: "Agent", message: Message, payload: bytes) -> WorkflowResult:
        try:
            async with asyncio.timeout(self._settings.timeout):
                response = await self._pool.post(
                    f"/webhook/{agent.webhook_path.lstrip('/')}", self._headers(message), payload
                )
        except TimeoutError:
            raise WorkflowTimeout(f"n8n did not answer within {self._settings.timeout:g} s.") from None
        except ConnectFailed as error:
            raise WorkflowUnreachable(f"n8n cannot be reached ({error}): is it running at n8n.base_url?") from None
        except ResponseTooLarge:
            raise BadReply(f"n8n's answer is larger than {self._settings.max_answer} bytes.") from None
        except ConnectionBroken as error:
            raise AttemptFailed(f"The connection to n8n broke ({error}).") from None
        if response.status >= 300:
            raise _to_rejection(response)
        return WorkflowResult(read_reply(response.body), read_execution_id(response.body))

    def _headers(self, message: Message) -> dict[str, str]:
        return {
            **self._fixed_headers,
            "X-Message-Id": message.message_id,
            "Idempotency-Key": message.message_id,
            "traceparent": tracing.traceparent(message.message_id),
        }


def read_reply(body: bytes) -> Reply:
    """Return the agent's reply from an answer, in any of the shapes that workflows use.

    The shapes are an object, a list of one object, and either of them inside `response`.

    Raises:
        BadReply: the answer is empty, is not JSON, or has no text.
        WorkflowMisconfigured: the answer only says that the workflow was started.
    """
    if not body.strip():
        raise BadReply("n8n's answer is empty: end the workflow in Respond to Webhook, with data.")
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
    """Return the `executionId` of an answer; empty if it has no valid one."""
    if b"executionId" not in body:
        return ""
    with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        answer = msgspec.json.decode(body)
        answer = answer[0] if isinstance(answer, list) and answer else answer
        execution_id = answer.get("executionId") if isinstance(answer, dict) else None
        if isinstance(execution_id, str | int) and EXECUTION_ID_PATTERN.fullmatch(str(execution_id)):
            return str(execution_id)
    return ""


def _to_reply(answer: dict[str, Any]) -> Reply:
    text = next((answer[key] for key in ("message", "output", "text", "response") if answer.get(key)), None)
    if not isinstance(text, str) or not text.strip():
        raise BadReply("n8n's answer has no text under message, output, text or response.")
    if text == STARTED_TEXT:
        raise WorkflowMisconfigured(
            "The webhook responds before the agent has run: set its Respond to 'Using Respond to Webhook Node' "
            "or 'When Last Node Finishes'."
        )
    tokens, model, reason = answer.get("tokensUsed"), answer.get("model"), answer.get("finishReason")
    return Reply(
        message=text,
        tokens_used=tokens if isinstance(tokens, int) and not isinstance(tokens, bool) else None,
        model=model if isinstance(model, str) else None,
        finish_reason=reason if isinstance(reason, str) else None,
    )


def _to_rejection(response: PooledResponse) -> WorkflowRejected:
    hint = "redirects are not followed: set n8n.base_url to the address it leads to"
    if response.status >= 400:
        hint = HINT_BY_HTTP_STATUS.get(response.status, "see n8n's log")
    return WorkflowRejected(
        response.status,
        f"n8n answered HTTP {response.status}: {hint}.",
        fault=classify_status(response.status, N8N_TRANSIENT_STATUSES),
        retry_after=parse_retry_after(
            response.headers.get(b"retry-after", b"").decode("latin-1"), now=time.time(), longest=MAX_RETRY_AFTER_S
        ),
    )
