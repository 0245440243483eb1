"""The agents of this installation: one row each, found by id, added, listed, enabled, and disabled."""

import asyncio
import uuid
from collections.abc import Mapping
from typing import Any, Self

import msgspec
import psycopg
from psycopg.types.json import Jsonb

from msgctl.agents.agent_settings import AgentSettings, read_agent_settings
from msgctl.agents.webhook_paths import check_webhook_path, read_webhook_path
from msgctl.aio import cancel
from msgctl.config.settings import Settings
from msgctl.domain.errors import ConfigurationError, InvalidInput
from msgctl.domain.messages import WireStruct
from msgctl.storage.postgres.database import Database, PostgresConnection
from msgctl.storage.postgres.row_cache import RowCache, invalidate_on_notify
from msgctl.storage.redis.keys import AGENT_NOTIFICATIONS

AGENT_COLUMNS = ("id", "user_id", "name", "system_prompt", "webhook_path", "active")
# `to_jsonb` finds the column `settings` only if it is there: daemons may start before `msgctl db migrate`.
FIND_AGENT_SQL = """
    SELECT id, user_id, name, system_prompt, webhook_path, active,
        to_jsonb(agents) -> 'settings' AS settings
    FROM agents WHERE id = %(id)s
"""
ADD_AGENT_SQL = """
    INSERT INTO agents (user_id, name, system_prompt, webhook_path)
    VALUES (%(user_id)s, %(name)s, %(system_prompt)s, %(webhook_path)s)
    RETURNING id, user_id, name, system_prompt, webhook_path, active,
        to_jsonb(agents) -> 'settings' AS settings
"""
LIST_AGENTS_SQL = """
    SELECT id, user_id, name, system_prompt, webhook_path, active,
        to_jsonb(agents) -> 'settings' AS settings
    FROM agents
    WHERE %(user_id)s::text IS NULL OR user_id = %(user_id)s
    ORDER BY created_at, id LIMIT %(limit)s
"""
SET_AGENT_ACTIVE_SQL = """
    UPDATE agents SET active = %(active)s WHERE id = %(id)s
    RETURNING id, user_id, name, system_prompt, webhook_path, active,
        to_jsonb(agents) -> 'settings' AS settings
"""
CHANGE_AGENT_SETTINGS_SQL = """
    UPDATE agents SET settings = (settings || %(set)s) - %(removed)s::text[] WHERE id = %(id)s
    RETURNING id, user_id, name, system_prompt, webhook_path, active,
        to_jsonb(agents) -> 'settings' AS settings
"""


class Agent(WireStruct, kw_only=True, frozen=True):
    """An AI agent of one user."""

    id: str
    user_id: str
    """The `sub` of its owner's tokens; nobody else can name it."""
    name: str
    system_prompt: str = ""
    webhook_path: str
    """The path of its workflow under n8n's `/webhook/`."""
    active: bool = True
    settings: AgentSettings = AgentSettings()
    """What is set for this agent alone."""

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "Agent":
        """An agent from a row of our table or of an operator's own query.

        Raises:
            ConfigurationError: the row lacks a column, its webhook path could lead out of `/webhook/`, or a
                setting is not valid.
        """
        missing = [column for column in AGENT_COLUMNS if column not in row]
        if missing:
            raise ConfigurationError(
                f"[postgres] agent_query yields no column {', '.join(missing)}. "
                f"It needs {', '.join(AGENT_COLUMNS)}."
            )
        try:
            path = check_webhook_path(str(row["webhook_path"] or ""))
            own_settings = read_agent_settings(row.get("settings"))
        except InvalidInput as error:
            raise ConfigurationError(f"Agent {row['id']}: {error.message}") from None
        return cls(
            id=str(row["id"]),
            user_id=str(row["user_id"]),
            name=str(row["name"] or ""),
            system_prompt=str(row["system_prompt"] or ""),
            webhook_path=path,
            active=bool(row["active"]),
            settings=own_settings,
        )

    def to_record(self) -> dict[str, Any]:
        """Return this agent as JSON has it; of its settings, those that are set for it."""
        record: dict[str, Any] = msgspec.to_builtins(self, enc_hook=_dump_settings)
        return record


AgentList = list[Agent]
"""Named here, since `Agents.list` hides the builtin from the annotations beside it."""


class Agents:
    """Agents in PostgreSQL, used as an asynchronous context manager; it starts while PostgreSQL is down.

    Args:
        settings: `postgres.*`; with `postgres.agent_query` the rows are an operator's own.

    Raises:
        ConfigurationError: `postgres.url` is no connection URL.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._database = Database(settings)
        self._cache = RowCache(self._load, ttl_s=settings.postgres.agent_cache)
        self._listener_task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._listener_task:
            await cancel(self._listener_task)
        await self._database.__aexit__()

    async def find(self, agent_id: str) -> Agent | None:
        """The agent with this id, active or not; None if there is none.

        Raises:
            PostgresUnavailable: PostgreSQL does not answer and the agent is not remembered.
            ConfigurationError: the table is missing, or `agent_query` cannot be run.
        """
        if self._listener_task is None:  # a command that never looks an agent up needs no second connection
            self._listener_task = asyncio.create_task(
                invalidate_on_notify(self._settings, AGENT_NOTIFICATIONS, self._cache)
            )
        return await self._cache.get(agent_id)

    async def add(self, *, user_id: str, name: str, webhook_path: str, system_prompt: str = "") -> Agent:
        """Add an active agent to our table.

        Args:
            user_id: the `sub` of its owner.
            name: what it is called.
            webhook_path: the path behind `/webhook/`, or the URL that n8n shows; see `read_webhook_path`.
            system_prompt: its system prompt.

        Raises:
            InvalidInput: a text is empty or too long, or the webhook path could lead out of `/webhook/`.
            ConfigurationError: agents come from the operator's own table, or ours is missing.
            PostgresUnavailable: PostgreSQL does not answer.
        """
        for field, value, most in (("userId", user_id, 128), ("name", name, 255)):
            if not 1 <= len(value) <= most or "\0" in value:
                problem = f"must have 1 to {most} characters"
                raise InvalidInput(f"{field} {problem}.", details=[{"field": field, "problem": problem}])
        values = {
            "user_id": user_id,
            "name": name,
            "system_prompt": system_prompt.replace("\0", ""),
            "webhook_path": read_webhook_path(webhook_path, self._settings.n8n.base_url),
        }
        self._require_own_table("added")
        return (await self._fetch_agents(ADD_AGENT_SQL, values))[0]

    async def list(self, user_id: str | None = None, *, limit: int = 1000) -> AgentList:
        """The oldest agents of our table, of one user or of all, `limit` at most.

        Raises:
            ConfigurationError: agents come from the operator's own table, or ours is missing.
            PostgresUnavailable: PostgreSQL does not answer.
        """
        self._require_own_table("listed")
        return await self._fetch_agents(LIST_AGENTS_SQL, {"user_id": user_id, "limit": limit})

    async def set_active(self, agent_id: str, *, active: bool) -> Agent | None:
        """Enable or disable an agent of our table; None if there is none with this id.

        Raises:
            ConfigurationError: agents come from the operator's own table, or ours is missing.
            PostgresUnavailable: PostgreSQL does not answer.
        """
        self._require_own_table("enabled and disabled")
        if not _is_uuid(agent_id):
            return None
        rows = await self._fetch_agents(SET_AGENT_ACTIVE_SQL, {"id": agent_id, "active": active})
        return rows[0] if rows else None

    async def change_settings(self, agent_id: str, changes: Mapping[str, Any]) -> Agent | None:
        """Change the settings of one agent of our table; return it, or None if no agent has this id.

        Args:
            agent_id: the id of the agent.
            changes: valid values by name, as `agent_settings.parse_changes` returns them; None removes a setting.

        Raises:
            ConfigurationError: agents come from the operator's own table, or ours is missing or not migrated.
            PostgresUnavailable: PostgreSQL does not answer.
        """
        self._require_own_table("set up")
        if not _is_uuid(agent_id):
            return None
        values = {
            "id": agent_id,
            "set": Jsonb({name: value for name, value in changes.items() if value is not None}),
            "removed": [name for name, value in changes.items() if value is None],
        }
        rows = await self._fetch_agents(CHANGE_AGENT_SETTINGS_SQL, values)
        return rows[0] if rows else None

    async def _load(self, agent_id: str) -> Agent | None:
        foreign = self._settings.postgres.agent_query
        if not foreign and not _is_uuid(agent_id):
            return None
        rows = await self._fetch_agents(foreign or FIND_AGENT_SQL, {"id": agent_id})
        return rows[0] if rows else None

    async def _fetch_agents(self, query: str, values: dict[str, Any]) -> AgentList:
        async with self._database.connection() as connection:
            return [Agent.from_row(row) for row in await _fetch_rows(connection, query, values)]

    def _require_own_table(self, verb: str) -> None:
        if self._settings.postgres.agent_query:
            raise ConfigurationError(
                f"Agents come from [postgres] agent_query, your own table: they are {verb} there, not here."
            )


async def _fetch_rows(connection: PostgresConnection, query: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    try:
        return await (await connection.execute(query.encode(), values)).fetchall()
    except psycopg.DataError:
        return []  # an id that the operator's own id column cannot hold is an id that does not exist
    except psycopg.errors.UndefinedTable as error:
        raise ConfigurationError("PostgreSQL has no such table. For ours, run: msgctl db migrate") from error
    except psycopg.errors.UndefinedColumn as error:
        if query is CHANGE_AGENT_SETTINGS_SQL:
            raise ConfigurationError("The table of agents has no settings yet. Run: msgctl db migrate") from error
        raise ConfigurationError(f"[postgres] agent_query cannot be run: {error}") from error
    except psycopg.ProgrammingError as error:
        raise ConfigurationError(f"[postgres] agent_query cannot be run: {error}") from error


def _dump_settings(settings: object) -> object:
    if isinstance(settings, AgentSettings):
        return settings.model_dump(exclude_none=True)
    raise NotImplementedError(type(settings).__name__)


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
