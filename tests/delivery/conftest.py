"""The fixtures of the delivery tests."""

from collections.abc import AsyncIterator

import pytest

from msgctl.config.settings import Settings
from msgctl.http.client import HttpClient
from tests.support.provider_fixtures import providers, replies, settings

__all__ = ["poster", "providers", "replies", "settings"]


@pytest.fixture
async def poster(settings: Settings) -> AsyncIterator[HttpClient]:
    """Calls the local providers."""
    async with HttpClient(settings) as poster:
        yield poster
