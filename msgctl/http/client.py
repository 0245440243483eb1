"""The HTTP client for providers and callbacks: no redirects, a deadline, a bounded answer, and typed failures.

A failure before the request was written means that nothing was sent. A failure after it means an unknown outcome.
No error names a URL, because some providers require their token in it.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp
import msgspec
from aiohttp.abc import AbstractStreamWriter
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from msgctl.config.settings import Settings
from msgctl.domain.errors import DeliveryUnknown, ProviderUnreachable, RequestInvalid
from msgctl.domain.retry import LONGEST_RETRY_AFTER_S, parse_retry_after
from msgctl.http.user_agent import USER_AGENT

MAX_ANSWER = 65_536
"""The most bytes of an answer that are read."""


@dataclass(frozen=True)
class Answer:
    """An answer. The body ends where the connection broke off or the deadline passed."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: CIMultiDictProxy(CIMultiDict()))

    @property
    def ok(self) -> bool:
        """Whether the status is a success."""
        return 200 <= self.status < 300

    @property
    def retry_after(self) -> float | None:
        """The seconds that `Retry-After` asks for, as a number or as a date, up to a day."""
        return parse_retry_after(
            self.headers.get("Retry-After", ""), now=time.time(), longest=LONGEST_RETRY_AFTER_S
        )

    def document(self) -> dict[str, Any]:
        """Return the body as a JSON object; empty if the body is anything else.

        A provider repeats what customers wrote, so a byte order mark, invalid UTF-8, and half of a surrogate pair
        do not make the rest of its answer unreadable.
        """
        found = _decode(self.body)
        return found if isinstance(found, dict) else {}

    @property
    def is_json_object(self) -> bool:
        """Whether the body is a JSON object: those of the providers are, and the pages of proxies are not."""
        return isinstance(_decode(self.body), dict)

    @property
    def claims_json(self) -> bool:
        """Whether the body is JSON by its type or its beginning, even if it is not complete."""
        return "json" in self.headers.get("Content-Type", "") or self.body.lstrip().startswith(b"{")

    def text(self) -> str:
        """Return the body as text, whatever it is; only for searches, because it is not for a log."""
        return self.body.decode("utf-8", "replace")


def _decode(body: bytes) -> Any:
    """Decode JSON, if need be as leniently as Python's decoder; None for anything else."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return json.loads(body.decode("utf-8-sig", "replace"), strict=False)
    except (ValueError, RecursionError):
        return None


class HttpClient:
    """Sends requests over one shared session. Use it as an asynchronous context manager.

    Args:
        settings: `delivery.timeout`.
        connector: makes the connections. None: aiohttp's own, which connects to any address.
    """

    def __init__(self, settings: Settings, connector: aiohttp.TCPConnector | None = None) -> None:
        self._session = aiohttp.ClientSession(
            connector=connector or aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=settings.delivery.timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
            trust_env=False,
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
            RequestInvalid: nothing was written, because a header holds characters that HTTP forbids.
            DeliveryUnknown: the request was written, and no status came back.
        """
        request_body = _TrackedBody(body)
        try:
            async with self._session.post(
                url, data=request_body, headers=headers, allow_redirects=False
            ) as response:
                return Answer(response.status, await _read_bounded(response), response.headers)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            fault = type(error).__name__
        except ValueError as error:
            fault = type(error).__name__
            if not request_body.is_written:
                raise RequestInvalid(
                    f"The request to {who} cannot be written ({fault}): a setting of that channel holds a line "
                    "break or another character that HTTP forbids; nothing was sent."
                ) from None
        if request_body.is_written:
            raise DeliveryUnknown(f"{who} was sent the message and gave no answer ({fault}): it may have arrived.")
        raise ProviderUnreachable(f"{who} cannot be connected to ({fault}); nothing was sent.")

    async def get(self, url: str, *, who: str, headers: Mapping[str, str]) -> Answer:
        """Send a GET request.

        Raises:
            ProviderUnreachable: no answer came.
        """
        try:
            async with self._session.get(url, headers=headers, allow_redirects=False) as response:
                return Answer(response.status, await _read_bounded(response), response.headers)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ProviderUnreachable(f"{who} cannot be asked ({type(error).__name__}).") from None


class _TrackedBody(aiohttp.BytesPayload):
    """A body that knows whether a byte of its request was written.

    aiohttp keeps the head back until the body is written, so nothing was sent before. The connection may have been
    closed by then, e.g. one that the provider kept open and then dropped; such a write fails and sends nothing.
    """

    is_written = False

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        transport = getattr(writer, "transport", None)
        self.is_written = transport is not None and not transport.is_closing()
        await super().write_with_length(writer, content_length)


async def _read_bounded(response: aiohttp.ClientResponse) -> bytes:
    """Return the body up to `MAX_ANSWER`, or up to where it breaks off, because the status is known even then."""
    body = bytearray()
    try:
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > MAX_ANSWER:
                response.close()
                return bytes(body[:MAX_ANSWER])
    except (aiohttp.ClientError, TimeoutError, OSError):
        pass
    return bytes(body)
