"""Redis over TLS: a real redis-server with systemd/redis/tls.conf, and a Valkey behind a terminator of TLS."""

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from msgctl.config.settings import Settings
from msgctl.domain.errors import RedisUnavailable
from msgctl.local.servers.valkey import ValkeyServer
from msgctl.local.supervisor.ports import free_port
from msgctl.queue.leases import LeaseClient
from msgctl.queue.queue import Queue
from msgctl.queue.rq_registration import RqRegistration
from msgctl.storage.redis.connections import blocking_client, connect, ping_new_connection
from msgctl.storage.redis.durability import check_durability
from tests.support.certificate import write_certificate
from tests.support.paths import ROOT
from tests.support.valkey_server import message
from tools.support.daemons import until

EXAMPLE = ROOT / "systemd" / "redis" / "tls.conf"
SERVER = shutil.which("redis-server") or shutil.which("valkey-server")


def encrypted(settings: Settings, port: int, authority: Path, host: str = "localhost") -> Settings:
    """Settings for a Redis at this port that speaks TLS, and whose certificate this authority has signed."""
    changes = {"host": host, "port": port, "tls": True, "tls_ca": str(authority), "password": SecretStr("")}
    return settings.model_copy(update={"redis": settings.redis.model_copy(update=changes)})


async def answers(settings: Settings) -> bool:
    """Whether Redis does."""
    with suppress(RedisUnavailable):
        await ping_new_connection(settings)
        return True
    return False


@asynccontextmanager
async def native(folder: Path) -> AsyncIterator[int]:
    """A server that speaks TLS itself, by the example."""
    port, text = free_port(), EXAMPLE.read_text("utf-8")
    changes = {"/etc/redis/tls/redis.crt": "cert.pem", "/etc/redis/tls/redis.key": "cert.key"}
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, f"{folder}/{new}")
    text = text.replace("/etc/redis/tls/ca.crt", f"{folder}/cert.pem").replace("tls-port 6379", f"tls-port {port}")
    (folder / "redis.conf").write_text(f"bind 127.0.0.1\ndir {folder}\nappendonly yes\n{text}", "utf-8")
    process = await asyncio.create_subprocess_exec(
        *(str(SERVER), str(folder / "redis.conf")), stdout=asyncio.subprocess.DEVNULL
    )
    try:
        yield port
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def terminated(folder: Path) -> AsyncIterator[int]:
    """A Valkey without TLS, behind a port that speaks it."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "cert.pem", folder / "cert.key")
    async with ValkeyServer(folder / "valkey") as valkey:

        async def carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                target.write(data)
                await target.drain()

        async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", valkey.port)
            ways = [asyncio.create_task(carry(reader, far_writer)), asyncio.create_task(carry(far_reader, writer))]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for end in (writer, far_writer):
                end.close()

        async with await asyncio.start_server(pass_on, "127.0.0.1", 0, ssl=context) as server:
            yield int(server.sockets[0].getsockname()[1])


KINDS = [
    pytest.param(
        native, marks=pytest.mark.skipif(SERVER is None, reason="redis-server is not installed"), id="native"
    ),
    pytest.param(terminated, id="terminated"),
]


@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_of_connection_is_encrypted_and_checks_whom_it_speaks_to(
    kind: Any, tmp_path: Path, settings: Settings
) -> None:
    """Short commands, waiting ones and RQ's own go through TLS; a stranger's certificate is refused and named."""
    tmp_path.joinpath("other").mkdir()
    write_certificate(tmp_path)
    write_certificate(tmp_path / "other")
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(kind(tmp_path))
        own = encrypted(settings, port, tmp_path / "cert.pem")
        await until(lambda: answers(own), "the server")

        client = await stack.enter_async_context(connect(own))
        await check_durability(client, own)
        await Queue(client, own).enqueue(message(1), digest=message(1).digest())
        assert len(await LeaseClient(client, own, "w1").claim(1)) == 1
        registration = RqRegistration(own, "w1")
        await registration.register()
        await registration.deregister()
        waiting = await stack.enter_async_context(blocking_client(own, max_block_s=1))
        await client.rpush("msgctl:test", "told")
        assert await waiting.blpop(["msgctl:test"], timeout=1) == ("msgctl:test", "told")

        stranger = encrypted(settings, port, tmp_path / "other" / "cert.pem")
        for wrong in (stranger, encrypted(settings, port, tmp_path / "cert.pem", host="127.0.0.1")):
            with pytest.raises(RedisUnavailable, match="certificate that is not taken"):
                await ping_new_connection(wrong)
        with pytest.raises(RedisUnavailable, match="certificate that is not taken"):
            await RqRegistration(stranger, "w2").register()
