"""Which tier a user is in, as PostgreSQL says: remembered for a while, dropped when it changes."""

import asyncio
from typing import Self

import psycopg

from msgctl import logs
from msgctl.config.settings import Settings
from msgctl.contracts import TIER_NOTIFICATIONS
from msgctl.errors import PostgresUnavailable
from msgctl.postgres.cache import Cache
from msgctl.postgres.database import Database
from msgctl.postgres.listener import listen
from msgctl.tasks import cancel

FIND = "SELECT tier FROM user_tiers WHERE user_id = %(id)s"
PATIENCE = 1.0
"""Seconds a tier is worth waiting for."""

log = logs.get(__name__)


class Tiers:
    """Looks tiers up, used as an asynchronous context manager.

    Nothing here fails a request: without PostgreSQL, without the table or without a row a user has no tier.

    Args:
        settings: `postgres.*`; with `postgres.tier_query` the rows are an operator's own.

    Entering it raises ConfigurationError where `postgres.url` is no connection URL.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._query = (settings.postgres.tier_query or FIND).encode()
        self._cache: Cache[str] = Cache(self._load, ttl=settings.postgres.agent_cache)
        self._listening: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._database = await Database(self._settings).__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._listening:
            await cancel(self._listening)
        await self._database.__aexit__()

    async def find(self, user_id: str) -> str:
        """The name of a user's tier; empty for none."""
        if self._listening is None:  # where no tier is configured nobody asks, and no connection is held
            self._listening = asyncio.create_task(listen(self._settings, TIER_NOTIFICATIONS, self._cache))
        return await self._cache.find(user_id) or ""

    async def _load(self, user_id: str) -> str | None:
        """The tier, empty for none; None, which is soon forgotten, where nobody can say."""
        try:
            async with asyncio.timeout(PATIENCE), self._database.connection() as connection:
                row = await (await connection.execute(self._query, {"id": user_id})).fetchone()
        except psycopg.DataError:
            return ""  # an id that the operator's own column cannot hold
        except psycopg.ProgrammingError as error:
            log.warning(
                "no tier can be read: run msgctl db migrate, or mend [postgres] tier_query",
                error=type(error).__name__,
            )
            return None
        except (PostgresUnavailable, TimeoutError) as error:
            log.warning("no tier can be read", error=type(error).__name__)
            return None
        return str(row.get("tier") or "") if row else ""
