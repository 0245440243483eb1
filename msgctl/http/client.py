"""One POST to a provider or a callback: no redirects, a deadline, a bounded answer, and what a failure means.

Whether the request was written decides: before that nothing was sent; after it, without an answer, nobody knows.
No error names a URL, since some providers want their token in it.
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

MAX_ANSWER = 65_536
"""Bytes of an answer that are read."""
LONGEST_WAIT = 3600.0
"""Seconds of a `Retry-After` that are believed."""


@dataclass(frozen=True)
class Answer:
    """What came back; the body is empty if it did not come whole before the deadline."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: CIMultiDictProxy(CIMultiDict()))

    @property
    def ok(self) -> bool:
        """Whether the status is a success."""
        return 200 <= self.status < 300

    @property
    def retry_after(self) -> float | None:
        """Seconds that `Retry-After` asks for, given as seconds or as a date."""
        return parse_retry_after(self.headers.get("Retry-After", ""), now=time.time(), longest=LONGEST_WAIT)

    def document(self) -> dict[str, Any]:
        """The body as a JSON object; empty if it is anything else."""
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
        """The error that this answer means.

        Args:
            who: the provider, as it stands in error codes.
            number: the provider's own error number; the HTTP status if it gave none.
            fault: what the provider's documentation says of that number; None: what the status says.
            advice: what to do, for people.
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
    """Sends requests over one shared session; to be used as an async context manager.

    Args:
        settings: `delivery.timeout`.
        connector: makes the connections; None: aiohttp's own, to anywhere.
    """

    def __init__(self, settings: Settings, connector: aiohttp.TCPConnector | None = None) -> None:
        trace = aiohttp.TraceConfig()
        trace.on_request_headers_sent.append(_mark_written)
        self._session = aiohttp.ClientSession(
            connector=connector or aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=settings.delivery.timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "msgctl", "Accept-Encoding": "identity"},
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
            url: where to; never shown in an error.
            who: whom the request is for, as errors name it.
            headers: in addition to the session's.
            body: what is sent.

        Raises:
            ProviderUnreachable: nothing was written.
            DeliveryUnknown: it was written, and no status came back.
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
        """Ask for something, which changes nothing.

        Raises:
            ProviderUnreachable: there was no answer.
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
    """The body up to `MAX_ANSWER`; empty if it breaks off, for the status is known all the same."""
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
