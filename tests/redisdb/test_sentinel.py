"""Redis behind three real Sentinels: a fail-over under load, and what it costs."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from msgctl import contracts, redisdb
from msgctl.config import Settings
from msgctl.errors import RedisUnavailable
from msgctl.messages import Message
from msgctl.rqueue import Queue
from msgctl.stack.valkey import _find_program
from tests.processes import until

SERVICE = "msgctl-test"
WINDOW = 2.0
"""Seconds before the kill within which accepted messages may be lost; replication lags by milliseconds."""


def free_port() -> int:
    """A port nobody has right now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@asynccontextmanager
async def server(folder: Path, configuration: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A Valkey with this configuration, killed at the end."""
    file = _configure(folder, configuration)
    process = await asyncio.create_subprocess_exec(str(_find_program()), str(file), *arguments)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def _configure(folder: Path, configuration: str) -> Path:
    folder.mkdir()
    file = folder / "valkey.conf"
    file.write_text(f"bind 127.0.0.1\ndir {folder}\nlogfile {folder}/log\n{configuration}\n", "utf-8")
    return file


async def has(port: int, words: str) -> bool:
    """Whether INFO of the server there says this."""
    try:
        async with Redis(port=port, socket_timeout=2) as client:
            return words in str(await client.info()).replace("'", "").replace(" ", "")
    except OSError:
        return False
    except Exception as error:
        if type(error).__module__.startswith("redis"):
            return False
        raise


def message(number: int) -> Message:
    """Message `number`, in a conversation of its own."""
    return Message(
        message_id=f"m-{number}",
        conversation_id=f"c-{number}",
        agent_id="a",
        user_id="ana",
        message="hello",
        timestamp="2026-01-01T00:00:00.000Z",
    )


@pytest.mark.timeout(120)
async def test_a_fail_over_under_load_is_survived_and_its_loss_is_bounded(
    tmp_path: Path, settings: Settings, record_property: object
) -> None:
    """The master is killed while messages come in: they go on at the new one, and only the last moment is lost."""
    master_port, replica_port, *sentinel_ports = (free_port() for _ in range(5))
    data = "appendonly yes\nrepl-diskless-sync-delay 0\n"
    async with AsyncExitStack() as stack:
        master = await stack.enter_async_context(server(tmp_path / "master", f"port {master_port}\n{data}"))
        following = f"port {replica_port}\nreplicaof 127.0.0.1 {master_port}\n{data}"
        await stack.enter_async_context(server(tmp_path / "replica", following))
        await until(lambda: has(replica_port, "master_link_status:up"), "the replica to follow")
        for port in sentinel_ports:
            watching = (
                f"port {port}\nsentinel monitor {SERVICE} 127.0.0.1 {master_port} 2\n"
                f"sentinel down-after-milliseconds {SERVICE} 1000\nsentinel failover-timeout {SERVICE} 5000\n"
            )
            await stack.enter_async_context(server(tmp_path / f"sentinel-{port}", watching, "--sentinel"))
        for port in sentinel_ports:
            await until(lambda port=port: has(port, "slaves:1,sentinels:3"), "the Sentinels to know each other")
        behind = settings.model_copy(
            update={
                "redis": settings.redis.model_copy(
                    update={
                        "host": "nowhere.invalid",
                        "password": type(settings.redis.password)(""),
                        "sentinels": [f"127.0.0.1:{port}" for port in sentinel_ports],
                        "sentinel_service": SERVICE,
                        "timeout": 2.0,
                    }
                )
            }
        )
        accepted, killed_at = await _load(behind, master)
        async with redisdb.connect(behind) as client:
            lost = [number for number in accepted if not await client.exists(contracts.job_key(f"m-{number}"))]
        assert all(accepted[number] > killed_at - WINDOW for number in lost), f"lost too much: {len(lost)}"
        after = min(at for at in accepted.values() if at > killed_at + 0.5)
        assert callable(record_property)
        record_property("lost", len(lost))
        record_property("seconds_without_redis", round(after - killed_at, 2))


async def _load(settings: Settings, master: asyncio.subprocess.Process) -> tuple[dict[int, float], float]:
    """Enqueue without a pause; after 300 kill the master; until 100 more were accepted by the next one."""
    loop = asyncio.get_running_loop()
    accepted: dict[int, float] = {}
    killed_at, since, number = 0.0, 0, 0
    async with redisdb.connect(settings) as client:
        queue = Queue(client, settings)
        while since < 100:
            number += 1
            one = message(number)
            try:
                await queue.enqueue(one, digest=one.digest())
            except RedisUnavailable:
                assert loop.time() < killed_at + 60, "there is no new master"
                await asyncio.sleep(0.05)
                continue
            accepted[number] = loop.time()
            if killed_at:
                since += 1
            elif number == 300:
                master.kill()
                await master.wait()
                killed_at = loop.time()
    return accepted, killed_at
