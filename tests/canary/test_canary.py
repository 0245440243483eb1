"""The canary goes the whole way, is gone when it has arrived, and is missed when it does not come."""

import re
from collections.abc import Callable
from pathlib import Path

from msgctl.agents.store import Agents
from msgctl.config.settings import Settings
from msgctl.local.fakes.n8n import FakeN8n
from msgctl.operations.checks.health import HealthCheck
from msgctl.operations.context import Context
from msgctl.queue.queue import Queue
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.metrics import scrape, value
from tools.support.daemons import Daemon, until


def with_canary(settings: Settings, **canary: object) -> Settings:
    """The settings with a canary twice a second."""
    return settings.model_copy(update={"canary": settings.canary.model_copy(update={"interval": 0.5, **canary})})


async def arrived(redis: RedisClient) -> bool:
    """Whether one has come home."""
    return bool(await redis.hget(keys.CANARY, "arrivedAt"))


async def test_it_goes_the_whole_way_and_leaves_nothing(
    settings: Settings, redis: RedisClient, n8n: FakeN8n
) -> None:
    """Without an agent n8n is not asked; the message is removed once its reply was delivered."""
    cared = with_canary(settings)
    async with Daemon("worker", cared), Daemon("subscriber", cared):
        await until(lambda: arrived(redis), "the canary to arrive")
    stats = await Queue(redis, settings).stats()
    assert stats.failed == 0
    assert stats.completed <= 1  # the one that was under way at the end
    assert n8n.calls_by_message.total() == 0


async def test_with_an_agent_it_goes_through_n8n(settings: Settings, redis: RedisClient, n8n: FakeN8n) -> None:
    """The agent of the configuration is asked, as any agent is."""
    async with Agents(settings) as agents:
        agent = await agents.add(user_id="ops", name="Canary", webhook_path="canary")
    cared = with_canary(settings, agent=agent.id)
    async with Daemon("worker", cared), Daemon("subscriber", cared):
        await until(lambda: arrived(redis), "the canary to arrive")
    assert n8n.calls_by_message.total() >= 1


async def test_its_silence_is_seen(
    settings: Settings, redis: RedisClient, with_metrics: Callable[[], Settings]
) -> None:
    """Without a worker its age grows: a metric, and a reason to be unhealthy."""
    cared = with_canary(with_metrics(), late=0.2)
    checkup = HealthCheck(Context(cared, redis, Queue(redis, cared)))
    async with Daemon("subscriber", cared):

        async def missed() -> bool:
            return "canary_late" in {reason.code for reason in (await checkup.run()).reasons}

        await until(missed, "the canary to be missed")

        async def old() -> bool:
            return (value(await scrape(cared), "msgctl_canary_age_seconds") or 0) > 0.2

        await until(old, "its age to be told")


def test_a_server_has_a_canary() -> None:
    """The line that the installer replaces in its copy of the example stands there once, under [canary]."""
    root = Path(__file__).parents[2]
    (old,) = re.findall(
        r"s/\^(# interval = .*)\$/interval = 30\.0/", (root / "systemd" / "install.sh").read_text("utf-8")
    )
    example = (root / "config.example.toml").read_text("utf-8").splitlines()
    assert example.count(old.replace("\\", "")) == 1
    section = [line for line in example[: example.index(old.replace("\\", ""))] if line.startswith("[")][-1]
    assert section == "[canary]"
