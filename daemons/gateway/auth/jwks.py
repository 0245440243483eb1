"""Public keys that an identity provider publishes (JWKS), fetched in the background and cached."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from msgctl.aio import background
from msgctl.auth.tokens import Verifier
from msgctl.config.settings import Settings
from msgctl.observability import logs

log = logs.get_logger(__name__)

UNKNOWN_KEY_COOLDOWN_S = 30.0
"""Seconds between two fetches that are caused by tokens with unknown keys."""
JWKS_RETRY_INTERVAL_S = 2.0
"""Seconds between a failed fetch and the next one."""
JWKS_TIMEOUT_S = 10.0
"""Seconds a fetch may take."""
MAX_JWKS_BYTES = 262_144
"""The maximum size of a document in bytes."""


class PublishedKeys:
    """Loads keys from one fixed URL into a verifier. Without `auth.jwks_url` it does nothing.

    While the URL does not answer, the known keys stay in use.

    Args:
        verifier: receives the keys.
        settings: `auth.jwks_url`, `auth.jwks_lifetime`.
    """

    def __init__(self, verifier: Verifier, settings: Settings) -> None:
        self._verifier = verifier
        self._url = settings.auth.jwks_url
        self._lifetime_s = settings.auth.jwks_lifetime
        self._fetch_lock = asyncio.Lock()
        self._fetched_at = float("-inf")
        self._requested_at = float("-inf")

    @asynccontextmanager
    async def run_renewal(self) -> AsyncIterator[None]:
        """Fetch now, and again before the keys are too old, while the context lasts."""
        if not self._url:
            yield
            return
        await self._fetch()
        async with background(self._renew()):
            yield

    async def refresh_for_unknown_key(self) -> None:
        """Fetch again for a token whose key is unknown, at most once per `UNKNOWN_KEY_COOLDOWN_S`."""
        requested_at = time.monotonic()
        async with self._fetch_lock:
            if self._fetched_at > requested_at or requested_at - self._requested_at < UNKNOWN_KEY_COOLDOWN_S:
                return  # another request has just fetched
            self._requested_at = requested_at
            await self._fetch()

    async def _renew(self) -> None:
        while True:
            age = time.monotonic() - self._fetched_at
            await asyncio.sleep(self._lifetime_s - age if age < self._lifetime_s else JWKS_RETRY_INTERVAL_S)
            async with self._fetch_lock:
                await self._fetch()

    async def _fetch(self) -> None:
        try:
            async with asyncio.timeout(JWKS_TIMEOUT_S):
                count = self._verifier.load_jwks(await self._read())
        except (aiohttp.ClientError, OSError, ValueError, TimeoutError) as error:
            log.warning("Published keys could not be fetched: check auth.jwks_url", error=type(error).__name__)
        else:
            self._fetched_at = time.monotonic()
            log.info("Published keys read", keys=count)

    async def _read(self) -> bytes:
        async with (
            aiohttp.ClientSession(trust_env=False) as http,
            http.get(self._url, allow_redirects=False) as response,
        ):
            if response.status != 200:
                raise ValueError(f"HTTP {response.status}")
            document = await response.content.read(MAX_JWKS_BYTES + 1)
            while not response.content.at_eof() and len(document) <= MAX_JWKS_BYTES:
                document += await response.content.read(MAX_JWKS_BYTES + 1 - len(document))
            if len(document) > MAX_JWKS_BYTES:
                raise ValueError("The document is too large.")
            return document
