"""Four common troubles, made with real daemons: the doctor names each, and the command it gives mends it."""

import asyncio
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from redis.asyncio import Redis
from websockets.asyncio.client import connect

from msgctl.config.settings import Settings
from msgctl.local.fakes.n8n import FakeN8n
from msgctl.local.servers.valkey import ValkeyServer
from tests.support.command_line import Invoke, started
from tools.support.daemons import PATIENCE, Daemon, until

Environ = Mapping[str, str]


async def findings(msgctl: Invoke, environ: Environ | None = None) -> dict[str, dict[str, Any]]:
    """What the doctor finds amiss, by its name."""
    outcome = await msgctl("doctor", "--quick", "-o", "json", environ=environ)
    assert outcome.json["schema"] == "msgctl.diagnosis/1"
    return {found["code"]: found for found in outcome.json["findings"] if found["level"] != "ok"}


def command_of(finding: Mapping[str, Any]) -> list[str]:
    """The words behind `msgctl` of the command that mends it; what stands in brackets is said beside it."""
    program, *words = shlex.split(finding["mend"].partition(" (")[0])
    assert program == "msgctl"
    return words


async def test_the_queue_grows(msgctl: Invoke, settings: Settings, n8n: FakeN8n, agent_id: str) -> None:
    """Its workers were told to rest: the doctor says so, its command lets them work, and the queue drains."""
    environ = {"MSGCTL_HEALTH_MAX_WAITING": "2"}
    async with Daemon("worker", settings):
        assert (await msgctl("worker", "drain", "--all", "--wait")).code == 0
        sent = await msgctl("message", "send", "hello", "--agent", agent_id, "--count", "5", "-o", "ids")
        assert (
            "every worker was told to drain"
            in (found := (await findings(msgctl, environ))["queue_growing"])["what"]
        )
        why = await msgctl("message", "why", sent.lines[0], "-o", "json")
        assert "workers_drained" in [reason["code"] for reason in why.json["reasons"]]
        assert "draining" in (await msgctl("worker", "list")).stdout
        assert (await msgctl(*command_of(found))).code == 0
        assert (await msgctl("queue", "drain", "--wait", "--timeout", "1m")).code == 0
        assert "queue_growing" not in await findings(msgctl, environ)
    assert n8n.calls_by_message.total() == 5


async def test_jobs_fail(msgctl: Invoke, settings: Settings, n8n: FakeN8n, agent_id: str) -> None:
    """n8n refuses the key: the doctor says what they failed of; a replay of the group, canary first, mends it."""
    n8n.behavior = msgspec.structs.replace(n8n.behavior, mode="403")
    async with Daemon("worker", settings):
        sent = await msgctl("message", "send", "hello", "--agent", agent_id, "--count", "3", "-o", "ids")
        assert (await msgctl("message", "wait", *sent.lines)).code == 4
        found = (await findings(msgctl))["jobs_failing"]
        assert "set n8n.api_key" in found["what"]
        n8n.reset()
        group, *others = (await msgctl("dlq", "groups", "-o", "ids")).lines
        assert (others, f"msgctl dlq replay --group {group} --canary" in found["mend"]) == ([], True)
        replayed = await msgctl("dlq", "replay", "--group", group, "--canary", "1", "--yes", "-o", "json")
        assert (replayed.code, {one["outcome"] for one in replayed.json["items"]}) == (0, {"replayed"})
        assert (await msgctl("message", "wait", *sent.lines)).code == 0
        assert "jobs_failing" not in await findings(msgctl)


async def test_redis_drops_what_it_took(msgctl: Invoke, tmp_path: Path) -> None:
    """It may evict and keeps no file: the doctor says both, and its command sets both right."""
    async with ValkeyServer(tmp_path / "valkey") as valkey, Redis(port=valkey.port) as redis:
        await redis.config_set("maxmemory-policy", "allkeys-lru")
        await redis.config_set("appendonly", "no")
        environ = {"MSGCTL_REDIS_PORT": str(valkey.port), "MSGCTL_REDIS_HOST": "127.0.0.1"}
        found = (await findings(msgctl, environ))["redis_dropping"]
        await msgctl(*command_of(found), "--quick", "--yes", environ=environ)
        assert (await redis.config_get("maxmemory-policy"))["maxmemory-policy"] == "noeviction"
        assert "redis_dropping" not in await findings(msgctl, environ)


async def test_a_socket_gets_no_reply(
    msgctl: Invoke, settings: Settings, n8n: FakeN8n, agent_id: str, tmp_path: Path
) -> None:
    """Nobody delivers: the doctor says so, its command starts a subscriber, and the customer hears the reply."""
    token = (await msgctl("token", "issue", "--user", "ana")).stdout.strip()
    async with Daemon("worker", settings), Daemon("gateway", settings) as gateway:
        port = gateway.status.rpartition(":")[2].strip().rstrip("/.")
        async with connect(f"ws://127.0.0.1:{port}/ws/chat?token={token}", proxy=None) as socket:
            await socket.send(json.dumps({"type": "message", "data": {"agentId": agent_id, "content": "hello"}}))
            heard = [json.loads(await socket.recv())["type"] for _ in range(3)]
            assert heard == ["connected", "queued", "processing"]
            await until(lambda: n8n.calls_by_message.total() == 1, "the agent to answer")
            found = (await findings(msgctl))["socket_without_reply"]
            async with started(settings, *command_of(found), folder=tmp_path):
                reply = json.loads(await asyncio.wait_for(socket.recv(), PATIENCE))
                assert reply["type"] == "message"

                async def well() -> bool:
                    return "socket_without_reply" not in await findings(msgctl)

                await until(well, "the doctor to see the subscriber")
