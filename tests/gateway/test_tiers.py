"""A row of PostgreSQL gives a user a tier: at once, before the token, and never at the cost of a request."""

from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from msgctl.agents.agents import Agent
from msgctl.agents.user_tiers import UserTiers
from msgctl.config.settings import Settings
from msgctl.local.servers.postgres import PostgresServer
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.gateway_clients import Client, gateways
from tools.support.daemons import until

TIERS = ["premium:10:2", "gold:3:4"]


@pytest.fixture
async def connection(settings: Settings) -> AsyncIterator[psycopg.AsyncConnection]:
    """The operator's own way to the test's database."""
    url = settings.postgres.url.get_secret_value()
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        yield connection


def with_postgres(settings: Settings, **update: Any) -> Settings:
    """The settings with another `[postgres]`, and a memory that only notifications shorten."""
    section = settings.postgres.model_copy(update={"agent_cache": 3600.0, **update})
    return settings.model_copy(update={"postgres": section})


async def limit_of(client: Client) -> int:
    """The requests a minute a client is told it may send."""
    headers = (await client.get("/api/messages/queue/stats")).headers
    return int(headers["ratelimit-policy"].split(";")[1].removeprefix("q="))


async def listening(connection: psycopg.AsyncConnection) -> bool:
    """Whether somebody waits for changes of tiers."""
    query = "SELECT 1 FROM pg_stat_activity WHERE query = 'LISTEN msgctl_user_tiers' AND state = 'idle'"
    return bool(await (await connection.execute(query)).fetchall())


async def test_row_defines_a_tier(
    settings: Settings, agent: Agent, redis: RedisClient, connection: psycopg.AsyncConnection
) -> None:
    """Limits and priority are those of the row; an unknown name and a user without a row have none."""
    await connection.execute("INSERT INTO user_tiers VALUES ('ana', 'premium'), ('bia', 'silver')")
    async with gateways(settings, requests=5, tiers=TIERS) as (make,):
        assert await limit_of(make("ana")) == 50
        assert await limit_of(make("bia")) == await limit_of(make("eve")) == 5
        assert (await make("ana").post({"agentId": agent.id, "message": "oi", "messageId": "m"})).status == 202
        assert await redis.lrange(keys.RQ_QUEUE + keys.queue_name(3), 0, -1) == ["m"]


async def test_row_precedes_the_token_and_changes_immediately(
    settings: Settings, connection: psycopg.AsyncConnection
) -> None:
    """With an hour of memory, a row that is made, changed or taken back is heard of by a gateway that runs."""
    async with gateways(with_postgres(settings), requests=1000, tiers=TIERS) as (make,):
        ana = make("ana", tier="gold")
        assert await limit_of(ana) == 3000
        await until(lambda: listening(connection), "the gateway to LISTEN")
        for change, limit in (
            ("INSERT INTO user_tiers VALUES ('ana', 'premium')", 10_000),
            ("UPDATE user_tiers SET tier = 'gold'", 3000),
            ("UPDATE user_tiers SET tier = 'basic'", 1000),
            ("DELETE FROM user_tiers", 3000),
        ):
            await connection.execute(change.encode())
            await until(lambda limit=limit: _is_limit(ana, limit), f"{change} to be heard of")


async def _is_limit(client: Client, limit: int) -> bool:
    return await limit_of(client) == limit


async def test_tier_query_is_configurable(settings: Settings, connection: psycopg.AsyncConnection) -> None:
    """`tier_query` reads any table; an id that its column cannot hold has no tier."""
    await connection.execute("CREATE TABLE customers (number int PRIMARY KEY, plan text)")
    await connection.execute("INSERT INTO customers VALUES (7, 'premium'), (8, NULL)")
    own = with_postgres(settings, tier_query="SELECT plan AS tier FROM customers WHERE number = %(id)s::int")
    async with UserTiers(own) as tiers:
        assert [await tiers.find(user) for user in ("7", "8", "9", "ana")] == ["premium", "", "", ""]


async def test_no_tier_without_the_table(settings: Settings, connection: psycopg.AsyncConnection) -> None:
    """A database that was not migrated yet costs the tiers, not the requests."""
    await connection.execute("DROP TABLE user_tiers")
    async with gateways(settings, requests=5, tiers=TIERS) as (make,):
        assert await limit_of(make("ana")) == 5
        assert await limit_of(make("ana", tier="gold")) == 15


async def test_token_counts_without_postgres(
    settings: Settings, connection: psycopg.AsyncConnection, postgres: PostgresServer
) -> None:
    """A PostgreSQL that lets nobody in: what is remembered serves, and whoever is new has the token's tier."""
    await connection.execute("INSERT INTO user_tiers VALUES ('ana', 'premium')")
    async with gateways(with_postgres(settings), requests=5, tiers=TIERS) as (make,):
        assert await limit_of(make("ana")) == 50
        await until(lambda: listening(connection), "the gateway to LISTEN")
        assert await limit_of(make("ana")) == 50  # remembered again: the connection made the memory forget
        await connection.close()
        async with await psycopg.AsyncConnection.connect(postgres.url("postgres"), autocommit=True) as admin:
            name = settings.postgres.url.get_secret_value().rpartition("/")[2].partition("?")[0]
            await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
            await admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
            )
        assert await limit_of(make("ana")) == 50
        assert await limit_of(make("bia", tier="gold")) == 15


async def test_no_query_without_configured_tiers(settings: Settings) -> None:
    """Without `[limits] tiers` a row costs no look."""
    gone = with_postgres(settings, url=type(settings.postgres.url)("postgresql://127.0.0.1:9/none"))
    async with gateways(gone, requests=5) as (make,):
        assert await limit_of(make("ana")) == 5
