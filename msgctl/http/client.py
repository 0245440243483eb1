"""The HTTP client for providers and callbacks: no redirects, a deadline, a bounded answer, and typed failures.

A failure before the request was written means that nothing was sent. A failure after it means an unknown outcome.
No error names a URL, because some providers require their token in it.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Self

import aiohttp
import msgspec
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from msgctl.config.settings import Settings
from msgctl.domain.errors import DeliveryUnknown, FaultClass, ProviderRejected, ProviderUnreachable
from msgctl.domain.retry import classify_status, parse_retry_after
from msgctl.http.user_agent import USER_AGENT

MAX_ANSWER = 65_536
"""The most bytes of an answer that are read."""
LONGEST_WAIT = 3600.0
"""The most seconds that a `Retry-After` may ask for. Longer ones are cut."""


@dataclass(frozen=True)
class Answer:
    """An answer. The body is empty if it was not complete before the deadline."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: CIMultiDictProxy(CIMultiDict()))

    @property
    def ok(self) -> bool:
        """Whether the status is a success."""
        return 200 <= self.status < 300

    @property
    def retry_after(self) -> float | None:
        """The seconds that `Retry-After` asks for, as a number or as a date."""
        return parse_retry_after(self.headers.get("Retry-After", ""), now=time.time(), longest=LONGEST_WAIT)

    def document(self) -> dict[str, Any]:
        """Return the body as a JSON object; empty if the body is anything else."""
        try:
            found = msgspec.json.decode(self.body)
        except msgspec.DecodeError:
            return {}
        return found if isinstance(found, dict) else {}

    def rejection(
        self,
        who: str,
        *,
        number: object = None,
        fault: FaultClass | None = None,
        advice: str = "",
        closes: str = "",
    ) -> ProviderRejected:
        """Build the error for this answer.

        Args:
            who: the provider, as error codes name it.
            number: the error number of the provider. None: the HTTP status.
            fault: the class of that number according to the provider's documentation. None: that of the status.
            advice: the remedy, for people.
            closes: the rate that is exceeded, or `url` for an address that is gone.
        """
        number = self.status if number is None else number
        return ProviderRejected(
            f"{who} does not take it: HTTP {self.status}, error {number}. {advice}".rstrip(),
            fault=fault or classify_status(self.status),
            code=f"{who}_{number}",
            retry_after=self.retry_after,
            exceeded_limit=closes,
        )


class HttpClient:
    """Sends requests over one shared session. Use it as an asynchronous context manager.

    Args:
        settings: `delivery.timeout`.
        connector: makes the connections. None: aiohttp's own, which connects to any address.
    """

    def __init__(self, settings: Settings, connector: aiohttp.TCPConnector | None = None) -> None:
        trace = aiohttp.TraceConfig()
        trace.on_request_headers_sent.append(_mark_written)
        self._session = aiohttp.ClientSession(
            connector=connector or aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=settings.delivery.timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
            trust_env=False,
            trace_configs=[trace],
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def post(self, url: str | URL, *, who: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send one request.

        Args:
            url: the URL, which no error shows.
            who: the receiver, as errors name it.
            headers: headers in addition to those of the session.
            body: the body.

        Raises:
            ProviderUnreachable: nothing was written.
            DeliveryUnknown: the request was written, and no status came back.
        """
        progress = SimpleNamespace(written=False)
        try:
            async with self._session.post(
                url, data=body, headers=headers, allow_redirects=False, trace_request_ctx=progress
            ) as response:
                return Answer(response.status, await _read_bounded(response), response.headers)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            fault = type(error).__name__
        if progress.written:
            raise DeliveryUnknown(f"{who} was sent the message and gave no answer ({fault}): it may have arrived.")
        raise ProviderUnreachable(f"{who} cannot be connected to ({fault}); nothing was sent.")

    async def get(self, url: str, *, who: str, headers: Mapping[str, str]) -> Answer:
        """Send a GET request.

        Raises:
            ProviderUnreachable: no answer came.
        """
        try:
            async with self._session.get(
                url, headers=headers, allow_redirects=False, trace_request_ctx=SimpleNamespace()
            ) as response:
                return Answer(response.status, await _read_bounded(response), response.headers)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ProviderUnreachable(f"{who} cannot be asked ({type(error).__name__}).") from None


async def _mark_written(_session: aiohttp.ClientSession, context: SimpleNamespace, _sent: object) -> None:
    context.trace_request_ctx.written = True


async def _read_bounded(response: aiohttp.ClientResponse) -> bytes:
    """Return the body up to `MAX_ANSWER`; empty if it breaks off, because the status is known even then."""
    body = bytearray()
    try:
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > MAX_ANSWER:
                response.close()
                return bytes(body[:MAX_ANSWER])
    except (aiohttp.ClientError, TimeoutError, OSError):
        return b""
    return bytes(body)
