"""Outages of Redis and PostgreSQL: a banner appears, and disappears by itself."""

from pathlib import Path

from msgctl.config.settings import Settings
from msgctl.local.servers.valkey import ValkeyServer
from msgctl.operations.dashboard.postgres_ping import PostgresPing
from msgctl.storage.redis.connections import connect
from tests.support.dashboard import looking, make_desk


async def test_banner_shows_redis_outage_until_recovery(settings: Settings, tmp_path: Path) -> None:
    """It has the cause and the last good time. The counts return with Redis."""
    server = ValkeyServer(tmp_path / "valkey")
    await server.start()
    own = {"host": "127.0.0.1", "port": server.port, "password": ""}
    settings = settings.model_copy(update={"redis": settings.redis.model_validate({**own, "timeout": 1.0})})
    client = connect(settings)
    try:
        async with looking(make_desk(client, settings)) as sight:
            await sight.shows("waiting 0")
            await server.stop()
            await sight.shows("!! last good", "retrying", "Redis at redis://")
            await server.start()
            await sight.hides("!! last good")
            await sight.shows("waiting 0")
    finally:
        await client.aclose()
        await server.stop()


async def test_banner_shows_unreachable_redis_at_start(settings: Settings) -> None:
    """It has the address and the cause, in a small terminal too."""
    redis = settings.redis.model_validate({"host": "127.0.0.1", "port": 9, "timeout": 1.0})
    settings = settings.model_copy(update={"redis": redis})
    client = connect(settings)
    try:
        async with looking(make_desk(client, settings), (80, 24)) as sight:
            await sight.shows("msgctl  redis://127.0.0.1:9/0", "!! no complete refresh yet; retrying. Redis at")
    finally:
        await client.aclose()


async def test_banner_shows_postgres_outage(settings: Settings) -> None:
    """It contains no password, and the counts continue."""
    postgres = settings.postgres.model_validate({"url": "postgresql://u:hidden@127.0.0.1:9/db", "timeout": 1.0})
    client = connect(settings)
    try:
        async with PostgresPing(settings.model_copy(update={"postgres": postgres})) as pulse:
            desk = make_desk(client, settings)
            desk.postgres_ping = pulse
            async with looking(desk) as sight:
                await sight.shows("PostgreSQL at", "retrying", "waiting 0")
                assert "hidden" not in sight.text
    finally:
        await client.aclose()


async def test_reachable_postgres_needs_no_banner(settings: Settings) -> None:
    """The banner is hidden."""
    async with PostgresPing(settings) as pulse:
        assert await pulse.find_problem() is None
