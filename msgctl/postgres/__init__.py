"""PostgreSQL, opened when it is needed, with the tables that every part of msgctl keeps there."""

from msgctl.postgres.cache import Cache
from msgctl.postgres.database import (
    Connection,
    Database,
    connection_arguments,
    connection_string,
    unavailable_as_error,
)
from msgctl.postgres.listener import listen
from msgctl.postgres.migrations import migrate

__all__ = [
    "Cache",
    "Connection",
    "Database",
    "connection_arguments",
    "connection_string",
    "listen",
    "migrate",
    "unavailable_as_error",
]
