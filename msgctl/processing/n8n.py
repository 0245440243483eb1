"""The client of n8n: it calls an agent's workflow and reads its answer.

An error never quotes the text of a customer or the answer of n8n, because both may be private.
"""

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from msgctl.config.settings import Settings
from msgctl.domain.errors import AttemptFailed, WorkflowRejected, WorkflowTimeout, WorkflowUnreachable
from msgctl.domain.messages import Message
from msgctl.domain.n8n_outage import N8nDown, OutageScope
from msgctl.domain.retry import classify_status, parse_retry_after
from msgctl.http.pool import ConnectFailed, ConnectionBroken, HttpPool, PooledResponse, ResponseTooLarge
from msgctl.observability.metrics import definitions as metrics
from msgctl.processing.answer_encoding import too_large
from msgctl.processing.answer_reader import read_answer
from msgctl.processing.answers import N8nAnswer, Question
from msgctl.processing.n8n_downtime import (
    describe_rejection,
    is_n8n_down,
    is_reached,
    outage_scope,
)
from msgctl.processing.n8n_headers import fixed_headers, message_headers

if TYPE_CHECKING:
    from msgctl.agents.agents import Agent  # it imports psycopg, which takes 0.1 s

CONNECT_TIMEOUT_S = 10.0
"""Seconds to connect to n8n. After that it counts as down."""
MAX_RETRY_AFTER_S = 86_400.0
"""The longest `Retry-After` in seconds that is obeyed. A longer one is cut to it."""
PROBE_PATH = "/webhook/msgctl-probe"
"""The path that a probe asks for. No workflow should have it."""
OUTAGE_PROBE_TIMEOUT_S = 2.0
"""Seconds that a probe may take."""
LOOK_UP_TIMEOUT_S = 5.0
"""Seconds that the answer about a webhook may take."""
PROBE_MAX_BODY_BYTES = 65_536
"""The most bytes of the answer to a probe."""
KEEP_ALIVE_S = 4.0
"""Seconds for which an idle connection is kept: one less than Node's default of 5, so that n8n never closes a
connection that is about to be used."""
MIN_BODY_LIMIT_BYTES = 32 << 20
"""The most bytes of a body, unless `n8n.max_answer` is large. A streamed answer wraps each word of the model in
about 200 bytes of JSON, so its body is far larger than its text, which is what `n8n.max_answer` limits."""
BODY_LIMIT_RATIO = 4
"""The most bytes of a body for each byte of `n8n.max_answer`."""


class WorkflowClient:
    """The client of n8n, one per process.

    Args:
        settings: `n8n.*`.
        observe: called with each answer before it is read.
    """

    def __init__(self, settings: Settings, observe: Callable[[PooledResponse], None] | None = None) -> None:
        self._settings = settings.n8n
        self._observe = observe
        self._max_body = max(MIN_BODY_LIMIT_BYTES, BODY_LIMIT_RATIO * settings.n8n.max_answer)
        self._pool = HttpPool(
            settings.n8n.base_url,
            connect_timeout_s=CONNECT_TIMEOUT_S,
            keep_alive_s=KEEP_ALIVE_S,
            max_body_bytes=self._max_body,
        )
        self._probes = HttpPool(
            settings.n8n.base_url,
            connect_timeout_s=OUTAGE_PROBE_TIMEOUT_S,
            keep_alive_s=KEEP_ALIVE_S,
            max_body_bytes=PROBE_MAX_BODY_BYTES,
        )
        self._fixed_headers = fixed_headers(settings.n8n)

    async def __aenter__(self) -> Self:
        """Return the client. It opens no connection before the first call."""
        return self

    async def __aexit__(self, *_exc_info: object) -> None:
        """Close every connection."""
        self._pool.close()
        self._probes.close()

    async def call(self, agent: "Agent", message: Message, payload: bytes) -> N8nAnswer:
        """Call an agent's workflow and return its answer.

        Args:
            agent: the agent whose webhook is called.
            message: its id identifies the call (`X-Message-Id`, `Idempotency-Key`); n8n may see the same id twice.
            payload: JSON made by `prepare_payload`.

        Raises:
            WorkflowUnreachable: no connection could be made.
            WorkflowTimeout: no complete answer came within `n8n.timeout` seconds.
            N8nDown: n8n or a proxy answered that n8n is down.
            WorkflowRejected: n8n answered with another HTTP status than 2xx.
            AnswerFault: the answer is not a reply; its subclasses say whether another attempt may help.
            AttemptFailed: the connection broke.
        """
        started = time.monotonic()
        outcome = AttemptFailed.code
        try:
            answer = await self._post(agent, message, payload)
            outcome = "ok"
        except AttemptFailed as failure:
            outcome = failure.code
            raise
        finally:
            metrics.N8N_DURATION.labels(outcome).observe(time.monotonic() - started)
        return answer

    async def _post(self, agent: "Agent", message: Message, payload: bytes) -> N8nAnswer:
        try:
            async with asyncio.timeout(self._settings.timeout):
                headers = self._fixed_headers | message_headers(message.message_id)
                response = await self._pool.post(f"/webhook/{agent.webhook_path.lstrip('/')}", headers, payload)
        except TimeoutError:
            raise WorkflowTimeout(f"n8n did not answer within {self._settings.timeout:g} s.") from None
        except ConnectFailed as error:
            raise WorkflowUnreachable(f"n8n cannot be reached ({error}): is it running at n8n.base_url?") from None
        except ResponseTooLarge:
            raise too_large(self._max_body) from None
        except ConnectionBroken as error:
            raise AttemptFailed(f"The connection to n8n broke ({error}).") from None
        if self._observe:
            self._observe(response)
        if response.status >= 300:
            is_down = is_n8n_down(response.status, response.headers, response.body)
            raise _to_outage(response) if is_down else _to_rejection(response)
        return read_answer(
            response.body,
            response.headers,
            question=Question(text=message.message, texts=(message.message,)),
            max_text=self._settings.max_answer,
            max_body=self._max_body,
        )

    async def probe(self) -> bool:
        """Return whether n8n serves webhooks, without running a workflow.

        It asks for a webhook that does not exist, through the same proxies as a call does.
        """
        try:
            async with asyncio.timeout(OUTAGE_PROBE_TIMEOUT_S):
                response = await self._probes.request("GET", PROBE_PATH, self._fixed_headers, b"")
        except ResponseTooLarge:
            return True
        except (TimeoutError, ConnectFailed, ConnectionBroken):
            return False
        return is_reached(response.status, response.headers, response.body)

    async def look_up(self, webhook_path: str) -> PooledResponse:
        """Ask for a webhook by GET, which starts no workflow that waits for POST, and return the answer.

        Raises:
            WorkflowUnreachable: n8n, or the proxy before it, gave no complete answer.
            N8nDown: the answer says that n8n is down.
        """
        try:
            async with asyncio.timeout(LOOK_UP_TIMEOUT_S):
                response = await self._probes.request("GET", f"/webhook/{webhook_path}", self._fixed_headers, b"")
        except (TimeoutError, ConnectFailed, ConnectionBroken, ResponseTooLarge) as error:
            cause = str(error) or type(error).__name__
            raise WorkflowUnreachable(f"n8n cannot be reached ({cause}): is it running at n8n.base_url?") from None
        if not is_reached(response.status, response.headers, response.body):
            raise _to_outage(response)
        return response


def _to_rejection(response: PooledResponse) -> WorkflowRejected:
    return WorkflowRejected(
        response.status,
        _describe(response),
        fault=classify_status(response.status),
        retry_after=_retry_after(response),
    )


def _to_outage(response: PooledResponse) -> N8nDown:
    scope = outage_scope(response.status, response.headers, response.body)
    doubt = " The workflow may have run." if scope is OutageScope.MAY_HAVE_RUN else ""
    return N8nDown(_describe(response) + doubt, retry_after=_retry_after(response), scope=scope)


def _describe(response: PooledResponse) -> str:
    advice = describe_rejection(response.status, response.headers, response.body)
    return f"n8n answered HTTP {response.status}: {advice}."


def _retry_after(response: PooledResponse) -> float | None:
    value = response.headers.get(b"retry-after", b"").decode("latin-1")
    return parse_retry_after(value, now=time.time(), longest=MAX_RETRY_AFTER_S)
