"""Public keys that an identity provider publishes (JWKS): fetched off the way of requests, kept, renewed."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from msgctl import logs
from msgctl.config.settings import Settings
from msgctl.tasks import background
from msgctl.tokens import Verifier

log = logs.get(__name__)

COOLDOWN = 30.0
"""Seconds between two fetches that tokens with unknown keys can bring about."""
PAUSE = 2.0
"""Seconds before another try after one that failed."""
PATIENCE = 10.0
"""Seconds a fetch may take."""
LARGEST = 262_144
"""Bytes a document may have."""


class PublishedKeys:
    """Keeps a verifier supplied with keys from one fixed address. Without `auth.jwks_url` it does nothing.

    While the address does not answer, the keys that are known stay in use.

    Args:
        verifier: gets the keys.
        settings: `auth.jwks_url`, `auth.jwks_lifetime`.
    """

    def __init__(self, verifier: Verifier, settings: Settings) -> None:
        self._verifier = verifier
        self._url = settings.auth.jwks_url
        self._lifetime = settings.auth.jwks_lifetime
        self._fetching = asyncio.Lock()
        self._fetched_at = float("-inf")
        self._asked_at = float("-inf")

    @asynccontextmanager
    async def renewed(self) -> AsyncIterator[None]:
        """Fetch at once and again before the keys are too old, until left."""
        if not self._url:
            yield
            return
        await self._fetch()
        async with background(self._renew()):
            yield

    async def look_again(self) -> None:
        """Fetch once more for a token whose key is unknown, but not again and again."""
        asked_at = time.monotonic()
        async with self._fetching:
            if self._fetched_at > asked_at or asked_at - self._asked_at < COOLDOWN:
                return  # somebody has just looked
            self._asked_at = asked_at
            await self._fetch()

    async def _renew(self) -> None:
        while True:
            age = time.monotonic() - self._fetched_at
            await asyncio.sleep(self._lifetime - age if age < self._lifetime else PAUSE)
            async with self._fetching:
                await self._fetch()

    async def _fetch(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                count = self._verifier.publish(await self._read())
        except (aiohttp.ClientError, OSError, ValueError, TimeoutError) as error:
            log.warning("The published keys cannot be had: see auth.jwks_url", error=type(error).__name__)
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
            document = await response.content.read(LARGEST + 1)
            while not response.content.at_eof() and len(document) <= LARGEST:
                document += await response.content.read(LARGEST + 1 - len(document))
            if len(document) > LARGEST:
                raise ValueError("It is too large.")
            return document
