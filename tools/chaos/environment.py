"""The servers that are ill-treated, and a client that does not give up."""

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgctl.agents.agents import Agents
from msgctl.config.settings import Settings
from msgctl.domain.errors import RedisUnavailable
from msgctl.domain.messages import Message
from msgctl.local.fakes.n8n import FakeN8n
from msgctl.local.servers.postgres import PostgresServer
from msgctl.local.servers.valkey import ValkeyServer
from msgctl.queue.queue import EnqueueStatus, Queue, Stats
from msgctl.storage.postgres.migrations import migrate
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.connections import connect

USER = "u"
PAUSE = 0.2
"""Seconds between two tries, or two looks."""


@dataclass
class Place:
    """Where it happens."""

    folder: Path
    settings: Settings
    valkey: ValkeyServer
    n8n: FakeN8n
    agent_id: str
    redis: RedisClient

    @property
    def queue(self) -> Queue:
        """The queue, as an outsider sees it."""
        return Queue(self.redis, self.settings)

    def with_worker(self, **worker: Any) -> None:
        """Change some of `worker.*`, for processes that are started from now on."""
        changed = self.settings.worker.model_copy(update=worker)
        self.settings = self.settings.model_copy(update={"worker": changed})

    async def send(
        self, message_id: str, conversation: str, *, text: str = "hello", priority: int = 5
    ) -> EnqueueStatus:
        """Send a message as a client does who does not give up: the same one again, until it is answered."""
        message = Message(
            message_id=message_id,
            conversation_id=conversation,
            agent_id=self.agent_id,
            user_id=USER,
            message=text,
            priority=priority,
            timestamp="2026-01-01T00:00:00.000Z",
        )
        while True:
            try:
                return (await self.queue.enqueue(message, digest=message.digest())).status
            except RedisUnavailable:
                await asyncio.sleep(PAUSE)

    async def stats(self) -> Stats:
        """The counts, once Redis answers."""
        while True:
            try:
                return await self.queue.stats()
            except RedisUnavailable:
                await asyncio.sleep(PAUSE)

    async def all_over(self, count: int) -> None:
        """Return once so many messages are completed or dead letters."""
        while True:
            stats = await self.stats()
            if stats.completed + stats.failed >= count:
                return
            await asyncio.sleep(PAUSE)

    async def all_delivered(self) -> None:
        """Return once the subscriber has nothing left."""
        while True:
            groups: Any = await self.redis.xinfo_groups(keys.RESPONSES)
            if not any(group["pending"] or group["lag"] for group in groups):
                return
            await asyncio.sleep(PAUSE)

    async def crash_redis(self) -> None:
        """Kill -9 Redis, and start it again on the same data and port a second later."""
        assert self.valkey.pid  # noqa: S101 - for the type checker
        os.kill(self.valkey.pid, signal.SIGKILL)
        await asyncio.sleep(1)
        await self.valkey.start()


@asynccontextmanager
async def place(folder: Path | None = None) -> AsyncIterator[Place]:
    """Start the servers, and stop them at the end.

    Args:
        folder: for their data; None makes one that is gone at the end.
    """
    with tempfile.TemporaryDirectory(prefix="msgctl-chaos-") as temporary:
        root = folder or Path(temporary)
        async with (
            ValkeyServer(root / "valkey") as valkey,
            PostgresServer(root / "postgres", durable=False) as postgres,
            FakeN8n() as n8n,
        ):
            settings = _settings(valkey, postgres, n8n)
            await migrate(settings)
            async with Agents(settings) as known:
                agent = await known.add(user_id=USER, name="Chaos", webhook_path="chat")
            async with connect(settings) as redis:
                yield Place(root, settings, valkey, n8n, agent.id, redis)


def _settings(valkey: ValkeyServer, postgres: PostgresServer, n8n: FakeN8n) -> Settings:
    return Settings.model_validate(
        {
            "redis": {"host": "127.0.0.1", "port": valkey.port},
            "postgres": {"url": postgres.url()},
            "n8n": {"base_url": n8n.url},
            "retry": {"base": 0.2, "hold": 0.2},
            "worker": {"drain": 1.0},
            "logs": {"level": "warning"},
        }
    )
