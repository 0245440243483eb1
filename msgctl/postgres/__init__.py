"""PostgreSQL, opened when it is needed, with the tables that every part of msgctl keeps there."""

from msgctl.postgres.database import (
    Connection,
    Database,
    connection_arguments,
    connection_string,
    unavailable_as_error,
)
from msgctl.postgres.migrations import migrate

__all__ = [
    "Connection",
    "Database",
    "connection_arguments",
    "connection_string",
    "migrate",
    "unavailable_as_error",
]
