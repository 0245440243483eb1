"""Job hashes are data: a job that another program wrote to Redis is parked and counted, never executed."""

import asyncio
import pickle
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from msgctl.agents.agents import Agents
from msgctl.config.settings import Settings
from msgctl.domain.messages import State
from msgctl.intake.accept import Intake, Submission
from msgctl.queue.queue import Queue
from msgctl.storage.redis import keys
from tools.support.daemons import Daemon, until

QUEUE = keys.RQ_QUEUE + "messages:2"


@pytest.fixture
async def canary_port() -> AsyncIterator[tuple[int, list[bytes]]]:
    """A port that nothing may connect to, and the data it received."""
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(1000))
        writer.close()

    async with await asyncio.start_server(listen, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], heard


class Bomb:
    """An object that creates a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> Any:
        return Path.touch, (self._file,)


def hostile(canary: Path, port: int) -> dict[str, dict[str, Any]]:
    """Return job hashes by name. Each would do harm if RQ's own worker or a careless one ran it."""
    call = f'["subprocess.getoutput",null,["touch {canary}"],{{}}]'
    ours = {"status": "queued", "origin": "messages:2", keys.FIELD_CONVERSATION: "of-hostile"}
    hook = f'{{"success": {{"url": "http://127.0.0.1:{port}/"}}}}'
    callbacks = {f"{kind}_callback_name": "subprocess.getoutput" for kind in ("success", "failure", "stopped")}
    return {
        "function": {"status": "queued", "origin": "messages:2", "data": call},
        "compressed": {"status": "queued", "origin": "messages:2", "data": zlib.compress(call.encode())},
        "pickle": {"status": "queued", "origin": "messages:2", "data": pickle.dumps(Bomb(canary))},
        "meta": {"status": "queued", "origin": "messages:2", "meta": pickle.dumps(Bomb(canary))},
        "callbacks": {**ours, **callbacks, "data": call, keys.FIELD_MESSAGE: "{}"},
        "webhooks": {**ours, "webhooks": hook, "data": call, keys.FIELD_MESSAGE: "{}"},
        "broken-zlib": {**ours, "data": b"x\x9c broken", keys.FIELD_MESSAGE: b"x\x9c\xff\xfe"},
        "deep": {**ours, keys.FIELD_MESSAGE: "[" * 100_000},
        "other-id": {**ours, keys.FIELD_MESSAGE: '{"messageId": "somebody-else"}'},
        "status": {**ours, "status": "sideways", keys.FIELD_MESSAGE: "{}"},
        "no-message": ours,
        "no-status": {"origin": "messages:2", keys.FIELD_MESSAGE: "{}"},
        "no-origin": {"status": "queued", keys.FIELD_MESSAGE: "{}", keys.FIELD_CONVERSATION: "c"},
        "other-queue": {**ours, "origin": "default", keys.FIELD_MESSAGE: "{}"},
        "attempts": {**ours, keys.FIELD_MESSAGE: "{}", keys.FIELD_ATTEMPTS: "many"},
        "runs": {**ours, keys.FIELD_MESSAGE: "{}", keys.FIELD_RUNS: "1.5"},
        "ready": {**ours, keys.FIELD_MESSAGE: "{}", keys.FIELD_READY: "yesterday"},
    }


async def test_hostile_hash_is_parked_and_never_executed(
    settings: Settings, redis: Any, tmp_path: Path, canary_port: tuple[int, list[bytes]]
) -> None:
    """No function, callback, webhook, or pickle of a stored hash runs. Valid messages are answered."""
    port, heard = canary_port
    canary = tmp_path / "canary"
    hashes = hostile(canary, port)
    for name, fields in hashes.items():
        await redis.hset(keys.job_key(name), mapping=fields)
        await redis.rpush(QUEUE, name)
    await redis.set(keys.job_key("no-hash"), "a string")
    await redis.rpush(QUEUE, "no-hash", "gone")
    await redis.zadd(keys.RQ_SCHEDULED + "messages:2", {"due-and-gone": 1, "no-hash": 2})
    await redis.zadd(keys.LEASES, {"lost-and-gone:1": 1, "no-hash:1": 1})
    queue = Queue(redis, settings)
    async with Agents(settings) as agents, Daemon("worker", settings) as worker:
        agent = await agents.add(user_id="u", name="Ana", webhook_path="chat")
        submission = Submission(
            agent_id=agent.id, message="hello", message_id="good", conversation_id="c", priority=2
        )
        await Intake(queue, agents).accept(submission, "u")

        async def answered() -> bool:
            job = await queue.find("good")
            return job is not None and job.state is State.COMPLETED

        await until(answered, "the good message to be answered")
        await until(lambda: _is_empty(redis), "leases of nothing to be reaped")
        assert worker.process.returncode is None
    parked = await redis.hgetall(keys.PARKED)
    assert set(parked) == {*hashes, "no-hash", "gone"}
    assert not canary.exists()
    assert heard == []
    assert await redis.llen(QUEUE) == 0


async def _is_empty(redis: Any) -> bool:
    return bool(await redis.zcard(keys.LEASES) == 0)


@pytest.mark.parametrize(
    ("field", "value"), [("status", "sideways"), (keys.FIELD_MESSAGE, "{"), ("origin", "elsewhere")]
)
async def test_unreadable_message_does_not_block_its_conversation(
    settings: Settings, redis: Any, field: str, value: str
) -> None:
    """A waiting message that becomes unreadable is parked, and the next of its conversation is answered."""
    queue = Queue(redis, settings)
    async with Agents(settings) as agents:
        agent = await agents.add(user_id="u", name="Ana", webhook_path="chat")
        for message_id in ("spoilt", "next"):
            submission = Submission(agent_id=agent.id, message="hello", message_id=message_id, conversation_id="c")
            await Intake(queue, agents).accept(submission, "u")
    await redis.hset(keys.job_key("spoilt"), field, value)
    async with Daemon("worker", settings):

        async def answered() -> bool:
            job = await queue.find("next")
            return job is not None and job.state is State.COMPLETED

        await until(answered, "the next message to be answered")
    assert list(await redis.hgetall(keys.PARKED)) == ["spoilt"]
