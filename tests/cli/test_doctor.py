"""Four common problems, caused with real daemons. The doctor names each, and its command fixes it."""

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


async def problems_by_code(msgctl: Invoke, environ: Environ | None = None) -> dict[str, dict[str, Any]]:
    """Return the findings of the doctor that are not ok, by code."""
    outcome = await msgctl("doctor", "--quick", "-o", "json", environ=environ)
    assert outcome.json["schema"] == "msgctl.diagnosis/1"
    return {found["code"]: found for found in outcome.json["findings"] if found["level"] != "ok"}


def command_of(finding: Mapping[str, Any]) -> list[str]:
    """Return the command that fixes a problem, without `msgctl` and without a remark in parentheses."""
    program, *words = shlex.split(finding["mend"].partition(" (")[0])
    assert program == "msgctl"
    return words


async def test_doctor_resumes_drained_workers(
    msgctl: Invoke, settings: Settings, n8n: FakeN8n, agent_id: str
) -> None:
    """The remedy for a growing queue resumes the workers, and the queue becomes empty."""
    environ = {"MSGCTL_HEALTH_MAX_WAITING": "2"}
    async with Daemon("worker", settings):
        assert (await msgctl("worker", "drain", "--all", "--wait")).code == 0
        sent = await msgctl("message", "send", "hello", "--agent", agent_id, "--count", "5", "-o", "ids")
        assert (
            "every worker was told to drain"
            in (found := (await problems_by_code(msgctl, environ))["queue_growing"])["what"]
        )
        why = await msgctl("message", "why", sent.lines[0], "-o", "json")
        assert "workers_drained" in [reason["code"] for reason in why.json["reasons"]]
        assert "draining" in (await msgctl("worker", "list")).stdout
        assert (await msgctl(*command_of(found))).code == 0
        assert (await msgctl("queue", "drain", "--wait", "--timeout", "1m")).code == 0
        assert "queue_growing" not in await problems_by_code(msgctl, environ)
    assert n8n.calls_by_message.total() == 5


async def test_doctor_names_cause_of_failed_jobs(
    msgctl: Invoke, settings: Settings, n8n: FakeN8n, agent_id: str
) -> None:
    """n8n refuses the API key. After the fix, a replay of the group with a canary succeeds."""
    n8n.behavior = msgspec.structs.replace(n8n.behavior, mode="403")
    async with Daemon("worker", settings):
        sent = await msgctl("message", "send", "hello", "--agent", agent_id, "--count", "3", "-o", "ids")
        assert (await msgctl("message", "wait", *sent.lines)).code == 4
        found = (await problems_by_code(msgctl))["jobs_failing"]
        assert "set n8n.api_key" in found["what"]
        n8n.reset()
        group, *others = (await msgctl("dlq", "groups", "-o", "ids")).lines
        assert (others, f"msgctl dlq replay --group {group} --canary" in found["mend"]) == ([], True)
        replayed = await msgctl("dlq", "replay", "--group", group, "--canary", "1", "--yes", "-o", "json")
        assert (replayed.code, {one["outcome"] for one in replayed.json["items"]}) == (0, {"replayed"})
        assert (await msgctl("message", "wait", *sent.lines)).code == 0
        assert "jobs_failing" not in await problems_by_code(msgctl)


async def test_doctor_fixes_redis_that_loses_data(msgctl: Invoke, tmp_path: Path) -> None:
    """Redis may evict keys and does not persist them. `--fix` changes both."""
    async with ValkeyServer(tmp_path / "valkey") as valkey, Redis(port=valkey.port) as redis:
        await redis.config_set("maxmemory-policy", "allkeys-lru")
        await redis.config_set("appendonly", "no")
        environ = {"MSGCTL_REDIS_PORT": str(valkey.port), "MSGCTL_REDIS_HOST": "127.0.0.1"}
        found = (await problems_by_code(msgctl, environ))["redis_dropping"]
        await msgctl(*command_of(found), "--quick", "--yes", environ=environ)
        assert (await redis.config_get("maxmemory-policy"))["maxmemory-policy"] == "noeviction"
        assert "redis_dropping" not in await problems_by_code(msgctl, environ)


async def test_doctor_starts_missing_subscriber(
    msgctl: Invoke, settings: Settings, n8n: FakeN8n, agent_id: str, tmp_path: Path
) -> None:
    """Without a subscriber, the reply is not delivered. The remedy starts one, and the socket gets the reply."""
    token = (await msgctl("token", "issue", "--user", "ana")).stdout.strip()
    async with Daemon("worker", settings), Daemon("gateway", settings) as gateway:
        port = gateway.status.rpartition(":")[2].strip().rstrip("/.")
        async with connect(f"ws://127.0.0.1:{port}/ws/chat?token={token}", proxy=None) as socket:
            await socket.send(json.dumps({"type": "message", "data": {"agentId": agent_id, "content": "hello"}}))
            heard = [json.loads(await socket.recv())["type"] for _ in range(3)]
            assert heard == ["connected", "queued", "processing"]
            await until(lambda: n8n.calls_by_message.total() == 1, "the agent to answer")
            found = (await problems_by_code(msgctl))["socket_without_reply"]
            async with started(settings, *command_of(found), folder=tmp_path):
                reply = json.loads(await asyncio.wait_for(socket.recv(), PATIENCE))
                assert reply["type"] == "message"

                async def well() -> bool:
                    return "socket_without_reply" not in await problems_by_code(msgctl)

                await until(well, "the doctor to see the subscriber")
