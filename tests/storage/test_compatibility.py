"""A server that cannot work is refused by name, and one that can is not."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from msgctl.config.settings import Settings
from msgctl.local.supervisor.ports import free_port
from msgctl.operations.checks.doctor.redis_checks import check_redis
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.compatibility import REQUIRED_COMMANDS, find_incompatibility
from msgctl.storage.redis.connections import connect
from tests.support.paths import ROOT
from tests.support.valkey_server import server
from tools.support.daemons import Daemon, until

DURABLE = "appendonly yes\nmaxmemory-policy noeviction"
MAX_CLUSTER_PORT = 55_535
"""A node of a cluster also listens on its port plus 10,000."""
CLUSTER = f"cluster-enabled yes\n{DURABLE}"


@asynccontextmanager
async def configured(folder: Path, settings: Settings, configuration: str) -> AsyncIterator[Settings]:
    """Settings that lead to a server with this configuration."""
    port = next(port for port in iter(free_port, None) if port <= MAX_CLUSTER_PORT)
    login = {"host": "127.0.0.1", "port": port, "database": 0, "password": type(settings.redis.password)("")}
    async with server(folder / "server", f"port {port}\n{configuration}"):

        async def answers() -> bool:
            async with Redis(port=port) as redis:
                try:
                    return bool(await redis.ping())
                except (OSError, RedisError):  # not there yet, or it still loads
                    return False

        await until(answers, "the server")
        yield settings.model_copy(update={"redis": settings.redis.model_copy(update=login)})


@pytest.mark.redis_server
async def test_promised_server_is_accepted(redis: RedisClient) -> None:
    """Every server of the matrix can do what msgctl needs."""
    assert await find_incompatibility(redis) is None


@pytest.mark.parametrize(
    ("configuration", "code", "words"),
    [
        (CLUSTER, "redis_cluster", "Redis Cluster"),
        (f'rename-command XAUTOCLAIM ""\n{DURABLE}', "redis_incompatible", "XAUTOCLAIM"),
        (
            f'rename-command EVALSHA ""\nrename-command TIME XTIME\n{DURABLE}',
            "redis_incompatible",
            "EVALSHA, TIME",
        ),
    ],
)
@pytest.mark.redis_server
async def test_doctor_names_a_server_that_cannot_work(
    tmp_path: Path, settings: Settings, configuration: str, code: str, words: str
) -> None:
    """The finding has a code and says what is wrong and what to do."""
    async with configured(tmp_path, settings, configuration) as own, connect(own) as redis:
        findings = {finding.code: finding for finding in await check_redis(redis)}
        found = await find_incompatibility(redis)
    assert found
    assert (found.code, words in found.text) == (code, True), found
    assert words in findings[code].text
    assert "Valkey" in findings[code].remedy


@pytest.mark.parametrize("name", ["worker", "subscriber", "gateway"])
async def test_daemon_refuses_a_cluster(tmp_path: Path, settings: Settings, name: str) -> None:
    """With and without --wait: exit 78 and one line that says so, no traceback."""
    async with configured(tmp_path, settings, CLUSTER) as own:
        for arguments in ((), ("--wait", "60")):
            async with Daemon(name, own, *arguments) as daemon:
                assert await daemon.exited() == 78
            assert "Redis Cluster" in daemon.output
            assert "Traceback" not in daemon.output


@pytest.mark.parametrize(
    ("info", "code"),
    [
        ({"redis_version": "6.0.16", "redis_mode": "standalone"}, "redis_old"),
        ({"redis_version": "5.0.7"}, "redis_old"),
        ({"redis_version": "7.0.0", "redis_mode": "sentinel"}, "redis_sentinel"),
        ({"redis_version": "7.4.1", "cluster_enabled": 1}, "redis_cluster"),
    ],
)
async def test_kind_is_read_from_info(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, info: dict[str, object], code: str
) -> None:
    """What a server says about itself suffices."""

    async def told(*_: str) -> dict[str, object]:
        return info

    async with connect(settings) as redis:
        monkeypatch.setattr(redis, "info", told)
        found = await find_incompatibility(redis)
    assert found
    assert found.code == code


def test_required_commands_are_those_of_the_scripts() -> None:
    """A script uses no command that is not asked for at the start."""
    used = {
        name
        for path in [*ROOT.glob("msgctl/**/*.lua"), *ROOT.glob("daemons/**/*.lua")]
        for name in re.findall(r"redis\.p?call\('([A-Z]+)'", path.read_text("utf-8"))
    }
    assert used <= set(REQUIRED_COMMANDS)
