"""Migrations: numbered .sql files, each applied once, in one transaction, by one process at a time."""

from pathlib import Path
from typing import cast

import psycopg

from msgctl.config.settings import Settings
from msgctl.domain.errors import ConfigurationError
from msgctl.storage.postgres.database import (
    connection_arguments,
    connection_string,
    describe_postgres,
    translate_postgres_errors,
)

MIGRATIONS_FOLDER = Path(__file__).with_name("sql")
MIGRATION_LOCK_ID = 0x6D7367_63746C  # "msgctl" in hexadecimal; the process that migrates holds the lock
CREATE_MIGRATIONS_TABLE_SQL = """
    CREATE TABLE IF NOT EXISTS msgctl_migrations (
        name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now()
    )
"""


async def migrate(settings: Settings) -> list[str]:
    """Migrate the database to this version of msgctl. It is safe to repeat, and to run twice at the same time.

    Returns:
        The names of the migrations that were applied now, oldest first.

    Raises:
        PostgresUnavailable: PostgreSQL does not answer.
        ConfigurationError: the database user may not create tables, or a file cannot be applied.
    """
    with translate_postgres_errors(settings):
        connection = await psycopg.AsyncConnection.connect(
            connection_string(settings), **connection_arguments(settings)
        )
        async with connection:
            try:
                async with connection.transaction():
                    return await _apply_pending(connection)
            except (psycopg.ProgrammingError, psycopg.IntegrityError) as error:
                raise ConfigurationError(f"Cannot migrate {describe_postgres(settings)}: {error}") from error


async def read_status(settings: Settings) -> dict[str, bool]:
    """Return whether the database has each migration of this version of msgctl, oldest first.

    Raises:
        PostgresUnavailable: PostgreSQL does not answer.
    """
    with translate_postgres_errors(settings):
        connection = await psycopg.AsyncConnection.connect(
            connection_string(settings), **connection_arguments(settings)
        )
        async with connection:
            try:
                known = await (await connection.execute("SELECT name FROM msgctl_migrations")).fetchall()
            except psycopg.errors.UndefinedTable:
                known = []
    done = {row["name"] for row in cast("list[dict[str, str]]", known)}
    return {file.stem: file.stem in done for file in sorted(MIGRATIONS_FOLDER.glob("*.sql"))}


async def _apply_pending(connection: psycopg.AsyncConnection) -> list[str]:
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", [MIGRATION_LOCK_ID])
    await connection.execute(CREATE_MIGRATIONS_TABLE_SQL)
    known = await (await connection.execute("SELECT name FROM msgctl_migrations")).fetchall()
    done = {row["name"] for row in cast("list[dict[str, str]]", known)}
    fresh = [file for file in sorted(MIGRATIONS_FOLDER.glob("*.sql")) if file.stem not in done]
    for file in fresh:
        await connection.execute(file.read_bytes())
        await connection.execute("INSERT INTO msgctl_migrations (name) VALUES (%s)", [file.stem])
    return [file.stem for file in fresh]
