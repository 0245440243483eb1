"""The connection pool of PostgreSQL, which opens at the first query and fails fast if a connection is refused."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Self

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from msgctl.config.postgres_url import find_fault
from msgctl.config.settings import Settings
from msgctl.domain.errors import ConfigurationError, PostgresUnavailable

PostgresConnection = psycopg.AsyncConnection[DictRow]


class Database:
    """A pool of autocommitting connections, used as an asynchronous context manager.

    Nothing is connected before the first query, so that a daemon starts while PostgreSQL is down.

    Args:
        settings: `postgres.*`; no query may take longer than `postgres.timeout`.

    Raises:
        ConfigurationError: `postgres.url` is not a connection URL.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pool: AsyncConnectionPool[PostgresConnection] = AsyncConnectionPool(
            connection_string(settings),
            kwargs=connection_arguments(settings),
            min_size=0,
            max_size=settings.postgres.pool_size,
            open=False,
            timeout=settings.postgres.timeout,
            check=AsyncConnectionPool.check_connection,
            reconnect_timeout=0.05,  # with `_expire_waits`: fail immediately if refused
            reconnect_failed=self._expire_waits,
        )
        self._connection_waits: set[asyncio.Timeout] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pool.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[PostgresConnection]:
        """Yield a connection for one or a few queries.

        Raises:
            PostgresUnavailable: PostgreSQL refuses, or gives no answer within `postgres.timeout`.
        """
        with translate_postgres_errors(self._settings):
            await self._pool.open(wait=False)
            async with asyncio.timeout(self._settings.postgres.timeout) as deadline:
                self._connection_waits.add(deadline)
                try:
                    connection = await self._pool.getconn()
                finally:
                    self._connection_waits.discard(deadline)
                try:
                    yield connection
                finally:
                    await self._pool.putconn(connection)

    def _expire_waits(self, _pool: AsyncConnectionPool[PostgresConnection]) -> None:
        """End the waits for a connection, because none can be made."""
        for deadline in self._connection_waits:
            deadline.reschedule(asyncio.get_running_loop().time())


def connection_string(settings: Settings) -> str:
    """Return the configured URL, checked. psycopg's error text is dropped, because it quotes parts of the URL.

    Raises:
        ConfigurationError: it is not a connection URL.
    """
    url = settings.postgres.url.get_secret_value()
    if fault := find_fault(url):
        raise ConfigurationError(f"[postgres] url {fault}.")
    try:
        conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise ConfigurationError(
            "[postgres] url is not a connection URL. Write postgresql://user:password@host:5432/database"
        ) from None
    return url


def connection_arguments(settings: Settings) -> dict[str, Any]:
    """Return the arguments of every connection. Prepared statements are off, so that PgBouncer can be used."""
    return {
        "autocommit": True,
        "row_factory": dict_row,
        "connect_timeout": max(2, round(settings.postgres.timeout)),
        "prepare_threshold": None,
        "application_name": "msgctl",
    }


def describe_postgres(settings: Settings) -> str:
    """Return the address of PostgreSQL for people, without user and password."""
    parts = conninfo_to_dict(connection_string(settings))
    host, port, database = (parts.get(name) for name in ("host", "port", "dbname"))
    return f"postgresql://{host or ''}{f':{port}' if port else ''}/{database or ''}"


@contextmanager
def translate_postgres_errors(settings: Settings) -> Iterator[None]:
    """Turn psycopg's connection faults and elapsed deadlines into `PostgresUnavailable`."""
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, TimeoutError, OSError) as error:
        cause = next(iter(str(error).splitlines()), "refused, or no answer in time")
        if password := conninfo_to_dict(connection_string(settings)).get("password"):
            cause = cause.replace(str(password), "********")
        raise PostgresUnavailable(
            f"PostgreSQL at {describe_postgres(settings)} cannot be used: {cause}. "
            "Is it running, and is [postgres] url (MSGCTL_POSTGRES_URL) right?",
            retry_after=5,
        ) from error
