"""The canary arrives, leaves nothing behind, and is reported when it is late."""

import re
from pathlib import Path

from msgctl.agents.agents import Agents
from msgctl.config.settings import Settings
from msgctl.local.fakes.n8n import FakeN8n
from msgctl.local.supervisor import ports
from msgctl.operations.checks.health import HealthCheck
from msgctl.operations.context import Context
from msgctl.queue.queue import Queue
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.metrics import scrape, value
from tools.support.daemons import Daemon, until


def with_canary(settings: Settings, **canary: object) -> Settings:
    """Return settings with two canaries a second."""
    return settings.model_copy(update={"canary": settings.canary.model_copy(update={"interval": 0.5, **canary})})


async def has_arrived(redis: RedisClient) -> bool:
    """Whether a canary has arrived."""
    return bool(await redis.hget(keys.CANARY, "arrivedAt"))


async def test_canary_without_agent_arrives_and_leaves_nothing(
    settings: Settings, redis: RedisClient, n8n: FakeN8n
) -> None:
    """Without an agent n8n is not called, and the message is deleted once its reply was delivered."""
    canary_settings = with_canary(settings)
    async with Daemon("worker", canary_settings), Daemon("subscriber", canary_settings):
        await until(lambda: has_arrived(redis), "the canary to arrive")
    stats = await Queue(redis, settings).stats()
    assert stats.failed == 0
    assert stats.completed <= 1  # the canary that was in flight at the end
    assert n8n.calls_by_message.total() == 0


async def test_canary_with_agent_calls_n8n(settings: Settings, redis: RedisClient, n8n: FakeN8n) -> None:
    """The configured agent is called as any agent is."""
    async with Agents(settings) as agents:
        agent = await agents.add(user_id="ops", name="Canary", webhook_path="canary")
    canary_settings = with_canary(settings, agent=agent.id)
    async with Daemon("worker", canary_settings), Daemon("subscriber", canary_settings):
        await until(lambda: has_arrived(redis), "the canary to arrive")
    assert n8n.calls_by_message.total() >= 1


async def test_late_canary_is_reported(settings: Settings, redis: RedisClient) -> None:
    """Without a worker its age grows, which a metric shows and the health check reports."""
    metrics = settings.metrics.model_copy(update={"port": ports.free_port()})
    canary_settings = with_canary(settings.model_copy(update={"metrics": metrics}), late=0.2)
    health_check = HealthCheck(Context(canary_settings, redis, Queue(redis, canary_settings)))
    async with Daemon("subscriber", canary_settings):

        async def is_reported_late() -> bool:
            return "canary_late" in {reason.code for reason in (await health_check.run()).reasons}

        await until(is_reported_late, "the health check to report the canary")

        async def is_old() -> bool:
            return (value(await scrape(canary_settings), "msgctl_canary_age_seconds") or 0) > 0.2

        await until(is_old, "the metric to show the age")


def test_installer_finds_the_canary_interval_in_the_example() -> None:
    """The line that the installer replaces in its copy of the example occurs once, under [canary]."""
    root = Path(__file__).parents[2]
    (old,) = re.findall(
        r"s/\^(# interval = .*)\$/interval = 30\.0/", (root / "systemd" / "install.sh").read_text("utf-8")
    )
    example = (root / "config.example.toml").read_text("utf-8").splitlines()
    assert example.count(old.replace("\\", "")) == 1
    section = [line for line in example[: example.index(old.replace("\\", ""))] if line.startswith("[")][-1]
    assert section == "[canary]"
