"""Migrations: numbered .sql files, each applied once, in one transaction, by one process at a time."""

from pathlib import Path
from typing import cast

import psycopg

from msgctl.config.settings import Settings
from msgctl.errors import ConfigurationError
from msgctl.postgres.database import connection_arguments, connection_string, describe, unavailable_as_error

FOLDER = Path(__file__).with_name("sql")
ADVISORY_LOCK = 0x6D7367_63746C  # "msgctl": whoever migrates holds it
LEDGER = """
    CREATE TABLE IF NOT EXISTS msgctl_migrations (
        name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now()
    )
"""


async def migrate(settings: Settings) -> list[str]:
    """Bring the database to this version of msgctl; safe to repeat and to run twice at the same time.

    Returns:
        The names of the migrations applied now, oldest first.

    Raises:
        PostgresUnavailable: PostgreSQL does not answer.
        ConfigurationError: the database user may not create tables, or a file cannot be applied.
    """
    with unavailable_as_error(settings):
        connection = await psycopg.AsyncConnection.connect(
            connection_string(settings), **connection_arguments(settings)
        )
        async with connection:
            try:
                async with connection.transaction():
                    return await _apply(connection)
            except (psycopg.ProgrammingError, psycopg.IntegrityError) as error:
                raise ConfigurationError(f"Cannot migrate {describe(settings)}: {error}") from error


async def status(settings: Settings) -> dict[str, bool]:
    """Each migration of this version of msgctl, oldest first, and whether the database has it.

    Raises:
        PostgresUnavailable: PostgreSQL does not answer.
    """
    with unavailable_as_error(settings):
        connection = await psycopg.AsyncConnection.connect(
            connection_string(settings), **connection_arguments(settings)
        )
        async with connection:
            try:
                known = await (await connection.execute("SELECT name FROM msgctl_migrations")).fetchall()
            except psycopg.errors.UndefinedTable:
                known = []
    done = {row["name"] for row in cast("list[dict[str, str]]", known)}
    return {file.stem: file.stem in done for file in sorted(FOLDER.glob("*.sql"))}


async def _apply(connection: psycopg.AsyncConnection) -> list[str]:
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", [ADVISORY_LOCK])
    await connection.execute(LEDGER)
    known = await (await connection.execute("SELECT name FROM msgctl_migrations")).fetchall()
    done = {row["name"] for row in cast("list[dict[str, str]]", known)}
    fresh = [file for file in sorted(FOLDER.glob("*.sql")) if file.stem not in done]
    for file in fresh:
        await connection.execute(file.read_bytes())
        await connection.execute("INSERT INTO msgctl_migrations (name) VALUES (%s)", [file.stem])
    return [file.stem for file in fresh]
