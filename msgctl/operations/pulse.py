"""Whether PostgreSQL answers: without it new messages are refused and agents are not found."""

from typing import Self

from msgctl.config import Settings
from msgctl.errors import MsgctlError
from msgctl.postgres.database import Database


class Pulse:
    """Asks PostgreSQL for a sign of life, on one connection that it keeps; an asynchronous context manager.

    Args:
        settings: `postgres.*`.
    """

    def __init__(self, settings: Settings) -> None:
        self._database = Database(settings)

    async def __aenter__(self) -> Self:
        await self._database.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._database.__aexit__()

    async def trouble(self) -> str | None:
        """Why it does not answer; None if it does."""
        try:
            async with self._database.connection() as connection:
                await connection.execute("SELECT 1")
        except MsgctlError as error:
            return error.message
        return None
