"""Which tier a user is in, as PostgreSQL says: remembered for a while, dropped when it changes."""

import asyncio
from typing import Self

import psycopg

from msgctl.aio import cancel
from msgctl.config.settings import Settings
from msgctl.domain.errors import PostgresUnavailable
from msgctl.observability import logs
from msgctl.storage.postgres.database import Database
from msgctl.storage.postgres.row_cache import RowCache, invalidate_on_notify
from msgctl.storage.redis.keys import TIER_NOTIFICATIONS

FIND_TIER_SQL = "SELECT tier FROM user_tiers WHERE user_id = %(id)s"
TIER_LOOKUP_TIMEOUT_S = 1.0
"""Seconds a tier is worth waiting for."""

log = logs.get_logger(__name__)


class UserTiers:
    """Looks tiers up, used as an asynchronous context manager.

    Nothing here fails a request: without PostgreSQL, without the table or without a row a user has no tier.

    Args:
        settings: `postgres.*`; with `postgres.tier_query` the rows are an operator's own.

    Entering it raises ConfigurationError where `postgres.url` is no connection URL.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._query = (settings.postgres.tier_query or FIND_TIER_SQL).encode()
        self._cache: RowCache[str] = RowCache(self._load, ttl_s=settings.postgres.agent_cache)
        self._listener_task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._database = await Database(self._settings).__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._listener_task:
            await cancel(self._listener_task)
        await self._database.__aexit__()

    async def find(self, user_id: str) -> str:
        """The name of a user's tier; empty for none."""
        if self._listener_task is None:  # where no tier is configured nobody asks, and no connection is held
            self._listener_task = asyncio.create_task(
                invalidate_on_notify(self._settings, TIER_NOTIFICATIONS, self._cache)
            )
        return await self._cache.get(user_id) or ""

    async def _load(self, user_id: str) -> str | None:
        """The tier, empty for none; None, which is soon forgotten, where nobody can say."""
        try:
            async with asyncio.timeout(TIER_LOOKUP_TIMEOUT_S), self._database.connection() as connection:
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
