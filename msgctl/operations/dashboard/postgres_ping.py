"""The check whether PostgreSQL answers. Without it new messages are refused and agents are not found."""

from typing import TYPE_CHECKING, Self

from msgctl.config.settings import Settings
from msgctl.domain.errors import MsgctlError

if TYPE_CHECKING:
    from msgctl.storage.postgres.database import Database


class PostgresPing:
    """Checks PostgreSQL on one connection that it keeps. It is an asynchronous context manager.

    Args:
        settings: `postgres.*`.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._database: Database | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._database:
            await self._database.__aexit__()

    async def find_problem(self) -> str | None:
        """Return why PostgreSQL does not answer, or None."""
        try:
            async with (await self._open()).connection() as connection:
                await connection.execute("SELECT 1")
        except MsgctlError as error:
            return error.message
        return None

    async def _open(self) -> "Database":
        if self._database is None:
            from msgctl.storage.postgres.database import Database  # noqa: PLC0415 - importing psycopg takes 0.2 s, for which the first screen need not wait

            self._database = await Database(self._settings).__aenter__()
        return self._database
