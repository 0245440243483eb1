"""The life of a few messages, to be disturbed at any one call of Redis; and what came of it.

One message fails at n8n once and is retried, one waits behind it in the same conversation, one was left by a
worker that died, and one is hopeless, for its agent is gone. Between them they take every path of the queue.
"""

import asyncio
import os
import signal
import sys
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from daemons.runtime.lifecycle import Lifecycle
from daemons.worker.__main__ import serve
from msgctl.config.settings import Settings
from msgctl.domain.messages import Message, State
from msgctl.local.fakes.n8n import FakeN8n, N8nBehavior
from msgctl.operations.checks.findings import Finding
from msgctl.operations.checks.invariants.verify import InvariantVerification
from msgctl.operations.context import Context
from msgctl.queue.leases import LeaseClient
from msgctl.queue.queue import Queue
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.connections import connect
from tools.support.accepting import accept
from tools.support.daemons import Daemon, environment, until
from tools.support.fault_proxy import Fault, Proxy

FAIL_ONCE = 0.01
NOBODY = "00000000-0000-0000-0000-000000000000"


def _named(stem: str, *, fails: bool) -> str:
    """An id whose first call the n8n stand-in fails, or does not."""
    names = (f"{stem}-{number}" for number in count())
    return next(name for name in names if (zlib.crc32(name.encode()) / 2**32 < FAIL_ONCE) is fails)


RETRIED, FOLLOWING = _named("retried", fails=True), _named("following", fails=False)
ORPHAN, HOPELESS = _named("orphan", fails=False), "hopeless"
ANSWERED = (RETRIED, FOLLOWING, ORPHAN)
CALLS_NEEDED = {RETRIED: 2, FOLLOWING: 1, ORPHAN: 1}


@dataclass
class Outcome:
    """What came of one disturbed life."""

    fault: str
    at: int
    command: str
    """The command that was struck, or nothing if the life was over before."""
    expected: tuple[str, ...] = ANSWERED
    """What must be answered."""
    extra_calls: int = 0
    """Calls of n8n beyond those needed."""
    crashes: int = 0
    violations: list[Finding] = field(default_factory=list)
    responses: dict[str, int] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """Whether nothing was lost, doubled or broken."""
        return (
            not self.violations
            and self.responses == dict.fromkeys(self.expected, 1)
            and all(self.states.get(each) == State.COMPLETED for each in self.expected)
            and self.states.get(HOPELESS, State.FAILED) == State.FAILED
        )


class Story:
    """Tells the same life again and again, with one fault each time.

    Args:
        settings: of servers that are this story's alone.
        n8n: the stand-in that the settings name.
        agent_id: an agent of user `u`.
    """

    def __init__(self, settings: Settings, n8n: FakeN8n, agent_id: str) -> None:
        worker = settings.worker.model_copy(update={"lease": 1.5, "concurrency": 3, "drain": 1.0})
        patience = settings.retry.model_copy(update={"base": 0.1, "hold": 0.1})
        redis = settings.redis.model_copy(update={"timeout": 2.0})
        self.settings = settings.model_copy(update={"worker": worker, "retry": patience, "redis": redis})
        self._n8n = n8n
        self._agent_id = agent_id

    async def tell(self, fault: Fault | None = None, at: int = 0) -> Outcome:
        """Live it once, with the fault at the command of this number; the commands are the worker's."""
        async with connect(self.settings) as redis:
            await self._begin(redis)
            target = self.settings.redis
            async with Proxy(target.host, target.port) as proxy:
                disturbed = self._through(proxy)
                if fault is Fault.KILL:
                    await self._kill(disturbed, proxy, at, redis)
                else:
                    if fault:
                        proxy.strike(fault, at)
                    async with working(disturbed):
                        await until(lambda: self._is_over(redis), "the messages to be over")
                struck = proxy.commands[at - 1] if proxy.struck.is_set() else ""
                outcome = Outcome(fault or "none", at if fault else len(proxy.commands), struck)
            await self._judge(outcome, redis, CALLS_NEEDED)
            return outcome

    async def enter(self, fault: Fault, at: int) -> Outcome:
        """Accept one message with a fault at the client's door; the client then asks again, and a worker works."""
        async with connect(self.settings) as redis:
            await redis.flushdb()
            self._n8n.reset()
            target = self.settings.redis
            async with Proxy(target.host, target.port) as proxy:
                disturbed = self._through(proxy)
                if fault is Fault.KILL:
                    await self._accept_and_die(disturbed, proxy, at)
                else:
                    proxy.strike(fault, at)
                    await accept(disturbed, ORPHAN, "c", self._agent_id)
                struck = proxy.commands[at - 1] if proxy.struck.is_set() else ""
            await accept(self.settings, ORPHAN, "c", self._agent_id)
            outcome = Outcome(fault, at, struck, expected=(ORPHAN,))
            async with working(self.settings):
                await until(lambda: self._is_over(redis, 1), "the message to be over")
            await self._judge(outcome, redis, {ORPHAN: 1})
            return outcome

    async def _accept_and_die(self, disturbed: Settings, proxy: Proxy, at: int) -> None:
        door = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tools.support.accepting", ORPHAN, "c", self._agent_id),
            env=environment(disturbed),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        proxy.strike(Fault.KILL, at, kill=lambda: os.kill(door.pid, signal.SIGKILL))
        await door.wait()

    async def _kill(self, disturbed: Settings, proxy: Proxy, at: int, redis: RedisClient) -> None:
        """A worker in a process of its own dies; a clean one finishes."""
        daemon = Daemon("worker", disturbed)
        proxy.strike(Fault.KILL, at, kill=lambda: os.kill(daemon.process.pid, signal.SIGKILL))
        async with daemon:
            over = asyncio.create_task(until(lambda: self._is_over(redis), "the messages to be over"))
            ended = asyncio.create_task(daemon.process.wait())
            await asyncio.wait({over, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                ended.cancel()
                return
            assert proxy.struck.is_set(), daemon.output
            async with working(self.settings):
                await over

    async def _begin(self, redis: RedisClient) -> None:
        await redis.flushdb()
        self._n8n.reset(N8nBehavior(fail_once=FAIL_ONCE))
        queue = Queue(redis, self.settings)
        await self._offer(queue, ORPHAN, "c-orphan")
        await LeaseClient(redis, self.settings, "ghost").claim(1)
        for member in await redis.zrange(keys.LEASES, 0, -1):
            await redis.zadd(keys.LEASES, {str(member): 1})
        seconds, _ = await redis.time()
        await redis.hset(keys.TENDED, mapping={"at": seconds * 1000 + 60_000, "grace": 0})
        await self._offer(queue, RETRIED, "c")
        await self._offer(queue, FOLLOWING, "c")
        await self._offer(queue, HOPELESS, "c-hopeless", agent_id=NOBODY)

    async def _offer(self, queue: Queue, message_id: str, conversation: str, *, agent_id: str = "") -> None:
        message = Message(
            message_id=message_id,
            conversation_id=conversation,
            agent_id=agent_id or self._agent_id,
            user_id="u",
            message="hello",
            timestamp="2026-01-01T00:00:00.000Z",
        )
        await queue.enqueue(message, digest=message.digest())

    async def _is_over(self, redis: RedisClient, count: int = len(ANSWERED) + 1) -> bool:
        stats = await Queue(redis, self.settings).stats()
        return stats.completed + stats.failed == count

    def _through(self, proxy: Proxy) -> Settings:
        redis = self.settings.redis.model_copy(update={"host": "127.0.0.1", "port": proxy.port})
        return self.settings.model_copy(update={"redis": redis})

    async def _judge(self, outcome: Outcome, redis: RedisClient, needed: Mapping[str, int]) -> None:
        outcome.extra_calls = sum(self._n8n.calls_by_message[each] - calls for each, calls in needed.items())
        entries: Any = await redis.xrange(keys.RESPONSES)
        bodies = [fields["body"] for _, fields in entries if fields["kind"] == "response"]
        named = [each for each in outcome.expected for body in bodies if f'"{each}"' in body]
        outcome.responses = {each: named.count(each) for each in outcome.expected}
        for job in await Queue(redis, self.settings).find_many([*ANSWERED, HOPELESS]):
            if job is not None:
                outcome.states[job.message.message_id] = job.state
                outcome.crashes += job.crashes
        outcome.violations = (await InvariantVerification(Context(self.settings, redis)).run()).violations


@asynccontextmanager
async def working(settings: Settings) -> AsyncIterator[None]:
    """A worker inside this process."""
    life = Lifecycle()
    task = asyncio.create_task(serve(settings, life))
    try:
        yield
    finally:
        life.stopping.set()
        await task
