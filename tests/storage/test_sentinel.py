"""Redis behind three real Sentinels: a fail-over under load, and what it costs."""

import asyncio
import signal
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from msgctl.config.settings import Settings
from msgctl.domain.errors import RedisUnavailable
from msgctl.ledger.projector import Projector
from msgctl.operations.context import Context
from msgctl.operations.ledger_restore import LedgerRestore
from msgctl.queue.queue import Queue
from msgctl.storage.postgres.database import Database
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.connections import connect
from tests.support.paths import ROOT
from tests.support.valkey_server import message, server
from tools.support.daemons import until

EXAMPLE = ROOT / "systemd" / "redis" / "sentinel.conf"
SERVICE = "msgctl-test"
FRESH = count(1000)
"""Numbers of messages that no test has accepted yet."""
WINDOW = 2.0
"""Seconds before the kill within which accepted messages may be lost; replication lags by milliseconds."""


def free_port() -> int:
    """A port nobody has right now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


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


class Trio(NamedTuple):
    """A master, its replica, and settings that know three Sentinels and neither of the two."""

    master: asyncio.subprocess.Process
    replica: asyncio.subprocess.Process
    settings: Settings


@asynccontextmanager
async def trio(folder: Path, settings: Settings, *, more: str = "") -> AsyncIterator[Trio]:
    """Three Sentinels that watch over a master and a replica; `more` is added to the configuration of both."""
    master_port, replica_port, *sentinel_ports = (free_port() for _ in range(5))
    data = f"appendonly yes\nrepl-diskless-sync-delay 0\n{more}\n"
    async with AsyncExitStack() as stack:
        master = await stack.enter_async_context(server(folder / "master", f"port {master_port}\n{data}"))
        following = f"port {replica_port}\nreplicaof 127.0.0.1 {master_port}\n{data}"
        replica = await stack.enter_async_context(server(folder / "replica", following))
        await until(lambda: has(replica_port, "master_link_status:up"), "the replica to follow")
        for port in sentinel_ports:
            watching = (
                f"port {port}\nsentinel monitor {SERVICE} 127.0.0.1 {master_port} 2\n"
                f"sentinel down-after-milliseconds {SERVICE} 1000\nsentinel failover-timeout {SERVICE} 5000\n"
            )
            await stack.enter_async_context(server(folder / f"sentinel-{port}", watching, "--sentinel"))
        for port in sentinel_ports:
            await until(lambda port=port: has(port, "slaves:1,sentinels:3"), "the Sentinels to know each other")
        changes = {
            "host": "nowhere.invalid",
            "password": SecretStr(""),
            "sentinels": [f"127.0.0.1:{port}" for port in sentinel_ports],
            "sentinel_service": SERVICE,
            "timeout": 2.0,
        }
        behind = settings.model_copy(update={"redis": settings.redis.model_copy(update=changes)})
        yield Trio(master, replica, behind)


async def missing(settings: Settings, numbers: Iterable[int]) -> list[int]:
    """Which of these messages Redis does not know."""
    async with connect(settings) as client:
        return [number for number in numbers if not await client.exists(keys.job_key(f"m-{number}"))]


@pytest.mark.timeout(120)
async def test_a_fail_over_under_load_is_survived_and_its_loss_is_bounded(
    tmp_path: Path, settings: Settings, record_property: object
) -> None:
    """The master is killed while messages come in: they go on at the new one, and only the last moment is lost."""
    async with trio(tmp_path, settings) as servers:
        accepted, killed_at = await _load(servers.settings, servers.master)
        lost = await missing(servers.settings, accepted)
        assert all(accepted[number] > killed_at - WINDOW for number in lost), f"lost too much: {len(lost)}"
        after = min(at for at in accepted.values() if at > killed_at + 0.5)
        assert callable(record_property)
        record_property("lost", len(lost))
        record_property("seconds_without_redis", round(after - killed_at, 2))


@pytest.mark.timeout(120)
async def test_what_a_fail_over_forgets_is_named_and_put_back(tmp_path: Path, settings: Settings) -> None:
    """The replica lags when the master dies: the ledger names each message that is gone, and feeds it again."""
    async with trio(tmp_path, settings) as servers, connect(servers.settings) as client:
        async with Database(settings) as database:
            projector = Projector(client, servers.settings, database)
            await accept(servers.settings, range(1, 21))
            await until(lambda: _is_in_step(client), "the replica to have it all")
            servers.replica.send_signal(signal.SIGSTOP)
            await client.client_kill_filter(_type="replica")  # what the kernel holds for it would still arrive
            await accept(servers.settings, range(21, 41))
            while await projector.project_batch():
                pass
            servers.master.kill()
            servers.replica.send_signal(signal.SIGCONT)
            await until(lambda: _is_writable(servers.settings), "the next master")

        lost = await missing(servers.settings, range(1, 41))
        assert lost == list(range(21, 41))
        rebuilding = LedgerRestore(Context(servers.settings, client))
        named = [one async for one in rebuilding.restore(dry_run=True) if one.outcome == "would_restore"]
        assert sorted(one.message_id for one in named) == sorted(f"m-{number}" for number in lost)
        outcomes = Counter([one.outcome async for one in rebuilding.restore(dry_run=False)])
        assert outcomes == {"present": 20, "restored": 20}
        assert not await missing(servers.settings, range(1, 41))


@pytest.mark.timeout(120)
async def test_a_master_that_lost_its_replica_accepts_nothing(tmp_path: Path, settings: Settings) -> None:
    """With min-replicas-to-write a message is refused as unavailable, not promised; afterwards it is taken."""
    text = EXAMPLE.read_text("utf-8")
    assert "min-replicas-to-write 1, min-replicas-max-lag 10" in text
    bound = "min-replicas-to-write 1\nmin-replicas-max-lag 1\nrepl-ping-replica-period 1"
    async with trio(tmp_path, settings, more=bound) as servers:
        await accept(servers.settings, [1])
        servers.replica.send_signal(signal.SIGSTOP)
        await until(lambda: _is_refused(servers.settings), "the master to refuse")
        servers.replica.send_signal(signal.SIGCONT)
        await until(lambda: _is_writable(servers.settings), "the master to accept again")


async def accept(settings: Settings, numbers: Iterable[int]) -> None:
    """Enqueue these messages."""
    async with connect(settings) as client:
        queue = Queue(client, settings)
        for number in numbers:
            await queue.enqueue(message(number), digest=message(number).digest())


async def _is_in_step(master: RedisClient) -> bool:
    info = await master.info("replication")
    return bool(info["slave0"]["offset"] == info["master_repl_offset"])


async def _is_writable(settings: Settings) -> bool:
    return not await _is_refused(settings)


async def _is_refused(settings: Settings) -> bool:
    try:
        await accept(settings, [next(FRESH)])
    except RedisUnavailable:
        return True
    return False


async def _load(settings: Settings, master: asyncio.subprocess.Process) -> tuple[dict[int, float], float]:
    """Enqueue without a pause; after 300 kill the master; until 100 more were accepted by the next one."""
    loop = asyncio.get_running_loop()
    accepted: dict[int, float] = {}
    killed_at, since, number = 0.0, 0, 0
    async with connect(settings) as client:
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
