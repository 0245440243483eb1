"""Agents, on a real PostgreSQL: found, remembered, heard of when they change."""

import asyncio
import re
import uuid
from collections.abc import Awaitable, Callable

import psycopg
import pytest
import uvloop
from psycopg.rows import TupleRow

from msgctl.agents.agents import Agent, Agents
from msgctl.config.settings import Settings
from msgctl.domain.errors import ConfigurationError, InvalidInput, PostgresUnavailable
from msgctl.local.servers.postgres import PostgresServer
from msgctl.storage.postgres.migrations import migrate
from tools.support.daemons import until

Sql = Callable[[str], Awaitable[list[TupleRow]]]


def changed(settings: Settings, **postgres: object) -> Settings:
    """The settings with another `[postgres]`; a long memory, so that only notifications shorten it."""
    section = settings.postgres.model_copy(update={"agent_cache": 3600.0, **postgres})
    return settings.model_copy(update={"postgres": section})


def unreachable(settings: Settings) -> Settings:
    """The settings with a PostgreSQL that nobody runs."""
    return Settings.model_validate(
        settings.model_dump() | {"postgres": {"url": "postgresql://u:hush@127.0.0.1:1/d"}}
    )


@pytest.fixture
def sql(settings: Settings) -> Sql:
    """Runs a statement beside the code under test."""

    async def execute(statement: str) -> list[TupleRow]:
        url = settings.postgres.url.get_secret_value()
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            cursor = await connection.execute(statement.encode())
            return await cursor.fetchall() if cursor.description else []

    return execute


async def add(agents_: Agents, name: str = "Support", user: str = "ana") -> Agent:
    """One more agent."""
    return await agents_.add(user_id=user, name=name, webhook_path="support/chat", system_prompt="Be kind.")


async def listening(sql: Sql) -> None:
    """Return once the code under test LISTENs."""

    async def listens() -> bool:
        rows = await sql("SELECT 1 FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND state = 'idle'")
        return bool(rows)

    await until(listens, "a connection that LISTENs")


async def test_an_added_agent_is_found(settings: Settings) -> None:
    """It comes back as it was given, active, under an id of its own."""
    async with Agents(settings) as store:
        added = await add(store)
        assert await store.find(added.id) == added
    assert (added.user_id, added.name, added.system_prompt) == ("ana", "Support", "Be kind.")
    assert (added.webhook_path, added.active) == ("support/chat", True)


@pytest.mark.parametrize(
    "agent_id", ["5f0c7c1e-0000-4000-8000-000000000000", "", "x", "'; DROP TABLE agents; --", "\0"]
)
async def test_what_is_not_there_is_not_found(settings: Settings, agent_id: str) -> None:
    """An unknown id and one that is no UUID are the same: none."""
    async with Agents(settings) as store:
        assert await store.find(agent_id) is None


async def test_agents_are_listed_for_one_user_or_all(settings: Settings) -> None:
    """The oldest first, and no more than the limit."""
    async with Agents(settings) as store:
        for name, user in (("A", "ana"), ("B", "bia"), ("C", "ana")):
            await add(store, name, user)
        assert [agent.name for agent in await store.list()] == ["A", "B", "C"]
        assert [agent.name for agent in await store.list("ana")] == ["A", "C"]
        assert [agent.name for agent in await store.list(limit=1)] == ["A"]


@pytest.mark.parametrize(
    "path", ["", "/chat", "a/../b", "..", "a//b", "a/", "http://x/y", "a?b", "a#b", "a b", "a\\b", "%2e%2e", "á"]
)
async def test_a_path_that_could_lead_elsewhere_is_refused(settings: Settings, path: str) -> None:
    """Whatever would not stay below n8n's /webhook/ is refused, and the field is named."""
    async with Agents(settings) as store:
        with pytest.raises(InvalidInput) as refusal:
            await store.add(user_id="ana", name="Support", webhook_path=path)
        assert await store.list() == []
    assert refusal.value.details
    assert refusal.value.details[0]["field"] == "webhookPath"


@pytest.mark.parametrize(("user", "name"), [("", "n"), ("u", ""), ("u" * 129, "n"), ("u", "n\0")])
async def test_a_name_that_cannot_be_stored_is_refused(settings: Settings, user: str, name: str) -> None:
    """Empty, too long or with a NUL: refused before PostgreSQL is asked."""
    async with Agents(settings) as store:
        with pytest.raises(InvalidInput):
            await store.add(user_id=user, name=name, webhook_path="chat")


@pytest.mark.parametrize("change", ["UPDATE agents SET active = false", "DELETE FROM agents"])
async def test_a_change_is_heard_at_once(settings: Settings, sql: Sql, change: str) -> None:
    """With an hour of memory, a disabled or deleted agent is gone as soon as PostgreSQL says so."""
    async with Agents(changed(settings)) as store:
        added = await add(store)
        await store.find(added.id)
        await listening(sql)
        assert await store.find(added.id) == added
        await sql(change)

        async def gone() -> bool:
            found = await store.find(added.id)
            return found is None or not found.active

        await until(gone, "the change to be heard")


async def test_a_change_during_a_lost_connection_is_not_missed(settings: Settings, sql: Sql) -> None:
    """When the LISTEN connection comes back, what was remembered is forgotten."""
    async with Agents(changed(settings)) as store:
        added = await add(store)
        await store.find(added.id)
        await listening(sql)
        await store.find(added.id)
        await sql("ALTER TABLE agents DISABLE TRIGGER USER")
        await sql("UPDATE agents SET name = 'Renamed'")
        assert await store.find(added.id) == added
        await sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")

        async def renamed() -> bool:
            found = await store.find(added.id)
            return found is not None and found.name == "Renamed"

        await until(renamed, "the memory to be cleared")


async def test_a_remembered_agent_serves_while_postgres_is_down(
    settings: Settings, sql: Sql, postgres: PostgresServer
) -> None:
    """What is remembered serves; what is not is unavailable, and said to be."""
    async with Agents(changed(settings)) as store:
        added = await add(store)
        await store.find(added.id)
        await listening(sql)
        await store.find(added.id)
        (database,) = (await sql("SELECT current_database()"))[0]
        async with await psycopg.AsyncConnection.connect(postgres.url("postgres"), autocommit=True) as admin:
            await admin.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false".encode())
            await admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [database]
            )
        with pytest.raises(PostgresUnavailable):
            await store.find(str(uuid.uuid4()))
        assert await store.find(added.id) == added


async def test_a_postgres_that_is_down_is_told_at_once(settings: Settings) -> None:
    """All who ask are told within the time of one refused connection, without the password."""
    async with Agents(unreachable(settings)) as store, asyncio.timeout(3):
        answers = await asyncio.gather(*(store.find(str(uuid.uuid4())) for _ in range(20)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {PostgresUnavailable}
    assert not any("hush" in str(answer) for answer in answers)


async def test_missing_tables_name_the_command_that_makes_them(postgres_settings: Settings) -> None:
    """Before the migration every lookup says how to migrate."""
    async with Agents(postgres_settings) as store:
        with pytest.raises(ConfigurationError, match="msgctl db migrate"):
            await store.find(str(uuid.uuid4()))


async def test_it_works_on_uvloop(settings: Settings) -> None:
    """The daemons' event loop finds and hears of agents as asyncio's own does."""

    async def find() -> tuple[Agent, Agent | None]:
        async with Agents(settings) as store:
            added = await add(store)
            return added, await store.find(added.id)

    added, found = await asyncio.to_thread(lambda: uvloop.run(find()))
    assert found == added


async def test_the_operators_own_table_is_read(settings: Settings, sql: Sql) -> None:
    """`agent_query` finds agents under ids of any type, and an id the type cannot hold is not there."""
    await sql("CREATE TABLE bots (nr int, owner text, hook text)")
    await sql("INSERT INTO bots VALUES (7, 'ana', 'chat')")
    query = (
        "SELECT nr AS id, owner AS user_id, 'Bot' AS name, NULL AS system_prompt, hook AS webhook_path,"
        " true AS active FROM bots WHERE nr = %(id)s::int"
    )
    async with Agents(changed(settings, agent_query=query)) as store:
        assert await store.find("7") == Agent(id="7", user_id="ana", name="Bot", webhook_path="chat")
        assert await store.find("8") is None
        assert await store.find("seven") is None
        with pytest.raises(ConfigurationError, match="your own table"):
            await add(store)
        with pytest.raises(ConfigurationError, match="your own table"):
            await store.list()


@pytest.mark.parametrize("change", [{"format": "plain"}, {"format": "as-is"}])
async def test_a_setting_is_heard_at_once(settings: Settings, sql: Sql, change: dict[str, str]) -> None:
    """With an hour of memory, a changed setting applies as soon as PostgreSQL says so."""
    async with Agents(changed(settings)) as store:
        added = await add(store)
        await store.find(added.id)
        await listening(sql)
        assert (await store.find(added.id)) == added
        assert await store.change_settings(added.id, change)

        async def heard() -> bool:
            found = await store.find(added.id)
            return found is not None and found.settings.model_dump() == change

        await until(heard, "the setting to be heard")
        assert await store.change_settings("5f0c7c1e-0000-4000-8000-000000000000", change) is None


async def test_settings_of_a_later_version_are_kept(settings: Settings, sql: Sql) -> None:
    """A name that this version does not know is ignored, and a change of another setting leaves it alone."""
    async with Agents(settings) as store:
        added = await add(store)
        await sql("""UPDATE agents SET settings = '{"later": 1, "format": "plain"}'""")
        assert (await store.find(added.id)) is not None
        changed_agent = await store.change_settings(added.id, {"format": None})
        assert changed_agent is not None
        assert changed_agent.settings.format is None
        assert await sql("SELECT settings::text FROM agents") == [('{"later": 1}',)]


async def test_agents_are_found_before_the_migration_of_this_version(settings: Settings, sql: Sql) -> None:
    """Daemons start before `msgctl db migrate` ran; only setting something needs the column."""
    await sql("ALTER TABLE agents DROP COLUMN settings")
    async with Agents(settings) as store:
        added = await add(store)
        assert await store.find(added.id) == added
        assert await store.list() == [added]
        with pytest.raises(ConfigurationError, match="msgctl db migrate"):
            await store.change_settings(added.id, {"format": "plain"})


@pytest.mark.parametrize(
    ("column", "read"),
    [
        ("NULL", None),
        ("'{}'::jsonb", None),
        ("""'{"format": "plain", "theme": "dark"}'::jsonb""", "plain"),
        ("""'{"format": "as-is"}'""", "as-is"),
        ("''", None),
        ("'dark'", "JSON object"),
        ("'[1]'::jsonb", "JSON object"),
        ("""'{"format": "Plain"}'::jsonb""", "setting format must be 'auto', 'plain' or 'as-is'"),
    ],
)
async def test_settings_in_the_operators_own_table(settings: Settings, column: str, read: str | None) -> None:
    """A column `settings` of the query is read as JSON or text; a value that is not valid is named."""
    query = (
        "SELECT %(id)s AS id, 'ana' AS user_id, 'Bot' AS name, '' AS system_prompt, 'chat' AS webhook_path,"
        f" true AS active, {column} AS settings"
    )
    async with Agents(changed(settings, agent_query=query)) as store:
        if read and " " in read:
            with pytest.raises(ConfigurationError, match=re.escape(read)):
                await store.find("1")
        else:
            found = await store.find("1")
            assert found is not None
            assert found.settings.format == read


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("SELECT 1 AS id, 'ana' AS user_id WHERE %(id)s <> ''", "name, system_prompt, webhook_path, active"),
        ("SELECT nonsense FROM agents WHERE %(id)s <> ''", "nonsense"),
        (
            "SELECT 1 AS id, '' AS user_id, '' AS name, '' AS system_prompt, '../x' AS webhook_path, 1 AS active",
            "webhook path",
        ),
    ],
)
async def test_a_query_that_cannot_serve_is_named(settings: Settings, query: str, complaint: str) -> None:
    """Missing columns, bad SQL and a path out of /webhook/ are faults of the configuration, each told."""
    async with Agents(changed(settings, agent_query=query)) as store:
        with pytest.raises(ConfigurationError, match=complaint):
            await store.find("1")


async def test_a_url_that_is_none_is_not_quoted(settings: Settings) -> None:
    """A mistyped URL may hold a password, so the complaint does not repeat it."""
    url = type(settings.postgres.url)("hush:secret word")
    mistyped = settings.model_copy(update={"postgres": settings.postgres.model_copy(update={"url": url})})
    with pytest.raises(ConfigurationError) as refusal:
        await Agents(mistyped).__aenter__()
    assert "hush" not in str(refusal.value)


async def test_migrating_twice_at_once_is_migrating_once(postgres_settings: Settings, sql: Sql) -> None:
    """Of several who migrate at the same time one applies each file, and all end well."""
    applied = await asyncio.gather(*(migrate(postgres_settings) for _ in range(4)))
    assert sorted(map(len, applied)) == [0, 0, 0, len(max(applied, key=len))]
    assert await migrate(postgres_settings) == []
    async with Agents(postgres_settings) as store:
        await add(store)


async def test_migrating_a_postgres_that_is_down_is_unavailable(settings: Settings) -> None:
    """It says so, without the password."""
    with pytest.raises(PostgresUnavailable) as failure:
        await migrate(unreachable(settings))
    assert "hush" not in str(failure.value)
