"""Redis or PostgreSQL gone: a banner says so, and goes by itself."""

from pathlib import Path

from msgctl.config.settings import Settings
from msgctl.local.servers.valkey import ValkeyServer
from msgctl.operations.dashboard.postgres_ping import PostgresPing
from msgctl.storage.redis.connections import connect
from tests.support.dashboard import looking, make_desk


async def test_redis_goes_and_comes_back(settings: Settings, tmp_path: Path) -> None:
    """The banner names the cause and the last good time; when Redis is back, so are the numbers."""
    server = ValkeyServer(tmp_path / "valkey")
    await server.start()
    own = {"host": "127.0.0.1", "port": server.port, "password": ""}
    settings = settings.model_copy(update={"redis": settings.redis.model_validate({**own, "timeout": 1.0})})
    client = connect(settings)
    try:
        async with looking(make_desk(client, settings)) as sight:
            await sight.shows("waiting 0")
            await server.stop()
            await sight.shows("!! last good", "it is tried again", "Redis at redis://")
            await server.start()
            await sight.hides("!! last good")
            await sight.shows("waiting 0")
    finally:
        await client.aclose()
        await server.stop()


async def test_redis_was_never_there(settings: Settings) -> None:
    """The very first look fails: where it looks and why it sees nothing is said, also in a small terminal."""
    redis = settings.redis.model_validate({"host": "127.0.0.1", "port": 9, "timeout": 1.0})
    settings = settings.model_copy(update={"redis": redis})
    client = connect(settings)
    try:
        async with looking(make_desk(client, settings), (80, 24)) as sight:
            await sight.shows("msgctl  redis://127.0.0.1:9/0", "!! never good yet; it is tried again. Redis at")
    finally:
        await client.aclose()


async def test_postgres_gone(settings: Settings) -> None:
    """The banner names PostgreSQL, without its password, while the numbers go on."""
    postgres = settings.postgres.model_validate({"url": "postgresql://u:hidden@127.0.0.1:9/db", "timeout": 1.0})
    client = connect(settings)
    try:
        async with PostgresPing(settings.model_copy(update={"postgres": postgres})) as pulse:
            desk = make_desk(client, settings)
            desk.postgres_ping = pulse
            async with looking(desk) as sight:
                await sight.shows("PostgreSQL at", "it is tried again", "waiting 0")
                assert "hidden" not in sight.text
    finally:
        await client.aclose()


async def test_postgres_there(settings: Settings) -> None:
    """No banner is needed."""
    async with PostgresPing(settings) as pulse:
        assert await pulse.find_problem() is None
