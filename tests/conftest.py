"""Real servers for the tests: one Valkey and one PostgreSQL a process of pytest, emptied between tests."""

import asyncio
import itertools
import logging
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
import psycopg
import pytest
import redis as sync_redis

from msgctl.config.settings import Settings
from msgctl.local.fakes.n8n import FakeN8n
from msgctl.local.servers.postgres import DATABASE_NAME, PostgresServer
from msgctl.local.servers.valkey import ValkeyServer
from msgctl.observability import logs
from msgctl.storage.postgres.migrations import migrate
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.connections import connect
from tests.support import redis_servers
from tests.support.paths import ROOT
from tests.support.secret_scan import (
    API_KEY,
    CALLBACK_SECRET,
    JWT_SECRET,
    REDIS_PASSWORD,
    SEARCH,
    pytest_runtest_makereport,
)
from tools.support.daemons import OUTPUT_LISTENERS

__all__ = ["pytest_runtest_makereport"]

REDIS_DATABASE = 7  # not 0, so that code which forgets the number is found out
NUMBERS = itertools.count(1)

SERVER_FIXTURES = frozenset({"on_servers_loop"})
"""Fixtures that every fixture of a server depends on."""
STARTS_PROCESSES = (
    "cli/test_manual.py",
    "faults/",
    "local/",
    "monitoring/",
    "storage/test_client.py",
    "storage/test_moving_primary.py",
    "systemd/",
    "test_secret_scan.py",
    "tools/",
    "tui/test_terminal.py",
)
"""Test modules and folders that start servers or other processes without a fixture of this file."""

Run = Callable[[Coroutine[Any, Any, Any]], Any]
"""Runs a coroutine on the servers' own event loop, from any thread, and returns its result."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the suite."""
    redis_servers.add_option(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Keep the tests' files inside the tree; the processes of xdist are given a place by their parent."""
    redis_servers.use(config)
    if config.option.basetemp is None:
        config.option.basetemp = ROOT / ".pytest_cache" / f"run-{os.getpid()}"
        config.option.basetemp.parent.mkdir(exist_ok=True)  # absent in a fresh clone
        config.add_cleanup(lambda: shutil.rmtree(config.option.basetemp, ignore_errors=True))
    if SEARCH.hear not in OUTPUT_LISTENERS:
        OUTPUT_LISTENERS.append(SEARCH.hear)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark as `unit` each test that uses no server fixture and is in no module that starts processes itself.

    If the chosen Redis server is not installed, skip all of them.
    """
    missing_server = redis_servers.skip_reason(config)
    for item in items:
        if missing_server:
            item.add_marker(pytest.mark.skip(reason=missing_server))
        fixtures: list[str] = getattr(item, "fixturenames", [])
        module = item.path.relative_to(ROOT / "tests").as_posix()
        if SERVER_FIXTURES.isdisjoint(fixtures) and not module.startswith(STARTS_PROCESSES):
            item.add_marker(pytest.mark.unit)


@pytest.fixture(autouse=True)
def _unit_tests_start_no_process(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test fail that is marked `unit` and starts a process: it belongs into `STARTS_PROCESSES`."""
    if request.node.get_closest_marker("unit"):

        def refuse(*_: object, **__: object) -> None:
            raise AssertionError("A unit test must not start a process. Add its module to STARTS_PROCESSES.")

        monkeypatch.setattr(subprocess.Popen, "__init__", refuse)


@pytest.hookimpl(wrapper=True)
def pytest_xdist_auto_num_workers() -> Generator[None, int, int]:
    """What `-n auto` means: half as many again as there are cores, since a third of a test's time is waiting."""
    cores = yield
    return cores if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ else (cores * 3 + 1) // 2


class _Stderr:
    """Whatever stderr is at the moment: a test may capture it."""

    def write(self, text: str) -> None:
        """Write there."""
        sys.stderr.write(text)

    def flush(self) -> None:
        """Flush it."""
        sys.stderr.flush()


@pytest.fixture(autouse=True)
def _log_as_a_daemon_does() -> None:
    """Lines of the log go to stderr, from `info` on, also where code runs inside the test's own process."""
    logs.configure(Settings(), daemon="")
    # Now, and not with the first line: where that comes within structlog's capture_logs, its end would undo it.
    logs._load_structlog()
    [handler] = logging.getLogger().handlers
    if isinstance(handler, logging.StreamHandler):
        handler.setStream(_Stderr())


@pytest.fixture(autouse=True)
def _connections_come_back() -> Iterator[None]:
    """A response that is dropped keeps its connection; aiohttp tells only when that is collected, in any test."""
    made: list[aiohttp.connector.Connection] = []

    class KnownConnection(aiohttp.connector.Connection):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            made.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aiohttp.connector, "Connection", KnownConnection)
        yield
    kept = [connection for connection in made if connection.protocol is not None]
    assert not kept, f"Read each response within `async with`: {kept}"


@pytest.fixture(scope="session")
def on_servers_loop() -> Iterator[Run]:
    """An event loop in a thread of its own: the servers outlive the loop of any one test.

    The kernel ends a child with the *thread* that made it, so this thread lives as long as the servers do.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="servers", daemon=True)
    thread.start()
    yield lambda coroutine: asyncio.run_coroutine_threadsafe(coroutine, loop).result(timeout=120)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture(scope="session")
def valkey(on_servers_loop: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """The Valkey of this process; a test that would stop or fill it starts one of its own."""
    server = ValkeyServer(tmp_path_factory.mktemp("servers") / "valkey", password=REDIS_PASSWORD)
    on_servers_loop(server.start())
    yield server
    on_servers_loop(server.stop())


@pytest.fixture(scope="session")
def postgres(on_servers_loop: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """The PostgreSQL of this process."""
    server = PostgresServer(tmp_path_factory.mktemp("servers") / "postgres", durable=False)
    on_servers_loop(server.start())
    yield server
    on_servers_loop(server.stop())


@pytest.fixture(scope="session")
def n8n_server(on_servers_loop: Run) -> Iterator[FakeN8n]:
    """The n8n stand-in of this process."""
    stand_in = FakeN8n()
    on_servers_loop(stand_in.__aenter__())
    yield stand_in
    on_servers_loop(stand_in.__aexit__())


@pytest.fixture
def n8n(n8n_server: FakeN8n) -> FakeN8n:
    """An n8n stand-in that has been asked nothing yet; set its `behaviour`, read its `calls`."""
    n8n_server.reset()
    return n8n_server


@pytest.fixture(scope="session")
def migrated(postgres: PostgresServer, valkey: ValkeyServer, on_servers_loop: Run) -> str:
    """The name of a database with our tables, to be copied for each test: far quicker than migrating each."""
    on_servers_loop(migrate(_settings(valkey, postgres.url())))
    return DATABASE_NAME


@pytest.fixture
def settings(valkey: ValkeyServer, postgres: PostgresServer, migrated: str, n8n: FakeN8n) -> Iterator[Settings]:
    """Settings with an empty Redis database, a PostgreSQL database with our tables, and the n8n stand-in."""
    with _database(postgres, migrated) as url:
        yield _settings(valkey, url, n8n.url)
    with sync_redis.Redis.from_url(
        valkey.url(REDIS_DATABASE), decode_responses=True, encoding_errors="replace"
    ) as client:
        SEARCH.learn(client)


@pytest.fixture
def postgres_settings(valkey: ValkeyServer, postgres: PostgresServer, n8n: FakeN8n) -> Iterator[Settings]:
    """As `settings`, but with an empty PostgreSQL database, without our tables."""
    with _database(postgres, "template1") as url:
        yield _settings(valkey, url, n8n.url)


@pytest.fixture
async def redis(settings: Settings) -> AsyncIterator[RedisClient]:
    """A client of the test's own, empty Redis database."""
    client = connect(settings)
    yield client
    await client.aclose()


@contextmanager
def _database(postgres: PostgresServer, template: str) -> Iterator[str]:
    """A new database, copied from another one, and its URL; dropped at the end, whoever is still connected."""
    name = f"test_{next(NUMBERS)}"
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY".encode())
        yield postgres.url(name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def _settings(valkey: ValkeyServer, postgres_url: str, n8n_url: str = "http://127.0.0.1:9") -> Settings:
    with sync_redis.Redis.from_url(valkey.url(REDIS_DATABASE)) as client:
        client.flushdb()
    return Settings.model_validate(
        {
            "redis": {
                "host": "127.0.0.1",
                "port": valkey.port,
                "password": valkey.password,
                "database": REDIS_DATABASE,
            },
            "postgres": {"url": postgres_url},
            "n8n": {"base_url": n8n_url, "api_key": API_KEY},
            "gateway": {"host": "127.0.0.1", "port": 0},
            "auth": {"jwt_secret": JWT_SECRET, "channels": "any"},
            "callback": {"secret": CALLBACK_SECRET},
        }
    )
