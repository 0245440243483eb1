"""PostgreSQL behind PgBouncer, as docs/scaling.md says it: with a session for each client, and without."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from msgctl.agents.agents import Agent, Agents
from msgctl.config.settings import Settings
from msgctl.domain.errors import PostgresUnavailable
from msgctl.ledger.projector import Projector
from msgctl.local.supervisor.ports import free_port
from msgctl.queue.queue import Queue
from msgctl.storage.postgres.database import Database
from msgctl.storage.postgres.migrations import migrate
from msgctl.storage.redis.client import RedisClient
from tests.support.valkey_server import message
from tools.support.daemons import until

POOLER = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
pytestmark = pytest.mark.skipif(POOLER is None, reason="pgbouncer is not installed: apt-get install pgbouncer")


@asynccontextmanager
async def pooled(folder: Path, settings: Settings, mode: str) -> AsyncIterator[Settings]:
    """Settings that reach the test's database through a PgBouncer with few connections."""
    server = conninfo_to_dict(settings.postgres.url.get_secret_value())
    port = free_port()
    target = " ".join(f"{name}={server[name]}" for name in ("host", "port", "dbname", "user", "password"))
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\npooled = {target}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
        f"unix_socket_dir =\nauth_type = any\npool_mode = {mode}\ndefault_pool_size = 6\n",
        "utf-8",
    )
    ordinary = ["-u", "nobody"] if os.geteuid() == 0 else []  # it refuses to be root
    process = await asyncio.create_subprocess_exec(
        *(str(POOLER), "-q", *ordinary, str(folder / "pgbouncer.ini")), stderr=asyncio.subprocess.DEVNULL
    )
    url = SecretStr(f"postgresql://anyone@127.0.0.1:{port}/pooled")
    own = settings.postgres.model_copy(update={"url": url, "agent_cache": 2.0})
    try:
        yield settings.model_copy(update={"postgres": own})
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.parametrize("mode", ["session", "transaction"])
async def test_a_pooler_may_stand_between(
    mode: str, tmp_path: Path, postgres_settings: Settings, redis: RedisClient
) -> None:
    """Tables, agents and the ledger work through it; a change is seen, at the latest in `agent_cache` seconds."""
    async with pooled(tmp_path, postgres_settings, mode) as settings:
        await until(lambda: _migrates(settings), "the pooler")
        async with Agents(settings) as readers, Agents(settings) as writers, Database(settings) as database:
            agent = await writers.add(user_id="ana", name="Ana's", webhook_path="chat")
            found = await asyncio.gather(*(readers.find(agent.id) for _ in range(50)))
            assert found == [agent] * 50
            await writers.set_active(agent.id, active=False)
            await until(lambda: _is_off(readers, agent), "the change to be seen")
            await Queue(redis, settings).enqueue(message(1), digest=message(1).digest())
            assert await Projector(redis, settings, database).project_batch() == 1


async def _migrates(settings: Settings) -> bool:
    try:
        return bool(await migrate(settings))
    except PostgresUnavailable:
        return False


async def _is_off(readers: Agents, agent: Agent) -> bool:
    found = await readers.find(agent.id)
    return found is not None and not found.active
