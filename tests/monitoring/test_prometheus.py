"""A real Prometheus on a real pipeline: its alerts fire when it is broken in the ways that troubled its inventors.

The queue grows too large, messages fail, Redis goes away, replies do not arrive. The waiting time of each alert is
shortened; `rules.test.yml` holds the true ones to their word.
"""

import asyncio
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
import pytest
from redis.asyncio import Redis

from msgctl.local.supervisor import ports
from msgctl.storage.redis import keys
from tests.support.metrics import MONITORING
from tools.support.daemons import until

AGENT = ["agent", "add", "--user", "ana", "--name", "A", "--webhook", "chat", "-o", "json"]
pytestmark = [pytest.mark.monitoring, pytest.mark.timeout(600)]


class Watched:
    """A pipeline of `msgctl up` and the Prometheus that looks at it.

    Args:
        told: what `msgctl up -o json` said.
        prometheus: where Prometheus listens.
    """

    def __init__(self, told: dict[str, Any], prometheus: str) -> None:
        self.told = told
        self._prometheus = prometheus

    async def firing(self) -> set[str]:
        """The alerts that fire now."""
        async with aiohttp.ClientSession() as session, session.get(f"{self._prometheus}/api/v1/alerts") as answer:
            alerts = (await answer.json())["data"]["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    async def fires(self, *names: str) -> None:
        """Return once these alerts fire."""

        async def there() -> bool:
            return set(names) <= await self.firing()

        await until(there, f"{names} to fire")

    async def calm(self) -> None:
        """Return once nothing fires."""

        async def there() -> bool:
            return not await self.firing()

        await until(there, "all alerts to end")

    async def msgctl(self, *arguments: str) -> str:
        """Run a command on this pipeline."""
        command = [sys.executable, "-m", "msgctl", "--config", self.told["config"], *arguments]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        said, _ = await process.communicate()
        assert process.returncode == 0
        return said.decode().strip()


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    """`msgctl up --embedded` under a Prometheus with the rules of the project, impatient ones."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not installed (Debian: apt install prometheus)")
    up = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "msgctl", "up", "--embedded", "--port", "0", "--data-dir", str(tmp_path / "var")),
        *("-o", "json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert up.stdout
    told = json.loads(await up.stdout.readline())
    port = ports.free_port()
    _configure(tmp_path)
    prometheus = await asyncio.create_subprocess_exec(
        *(program, f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/tsdb"),
        f"--web.listen-address=127.0.0.1:{port}",
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield Watched(told, f"http://127.0.0.1:{port}")
    finally:
        for process in (prometheus, up):
            process.terminate()
            await process.wait()


def _configure(folder: Path) -> None:
    rules = (MONITORING / "rules.yml").read_text("utf-8")
    (folder / "rules.yml").write_text(re.sub(r"for: \w+", "for: 1s", rules))
    configuration = (MONITORING / "prometheus.yml").read_text("utf-8")
    configuration = configuration.replace("../var", str(folder / "var")).replace("interval: 5s", "interval: 1s")
    (folder / "prometheus.yml").write_text(configuration)


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process that does nothing meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_the_four_troubles_of_the_architecture_are_told(watched: Watched) -> None:
    """Queue too large, failures, silence of delivery, silence of Redis: an alert each, and calm in between."""

    async def looked_at() -> bool:
        try:
            return not await watched.firing()
        except aiohttp.ClientError:
            return False

    await until(looked_at, "Prometheus to be up and calm")
    agent = json.loads(await watched.msgctl(*AGENT))["id"]
    async with Redis.from_url(watched.told["redis"]) as redis:
        await redis.set(keys.RQ_SUSPENDED, "1")
        await watched.msgctl("message", "send", "hello", "--user", "ana", "--agent", agent, "--count", "120")
        await watched.fires("MsgctlTooManyWaiting")

        async with await psycopg.AsyncConnection.connect(watched.told["postgres"], autocommit=True) as postgres:
            await postgres.execute("UPDATE agents SET active = false")
        await redis.delete(keys.RQ_SUSPENDED)
        await watched.fires("MsgctlTooManyFailed")

        with stopped(watched.told["pids"]["subscriber"][0]):
            await watched.fires("MsgctlNoSubscriber")

        server = (await redis.info("server"))["process_id"]
    with stopped(server):
        await watched.fires("MsgctlRedisDown")
    await watched.msgctl("queue", "clean", "--state", "failed", "--older-than", "0s", "--yes")
    await watched.calm()
