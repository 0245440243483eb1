"""What each daemon tells Prometheus: true, well-formed, and of nobody in particular."""

import asyncio
from collections.abc import AsyncIterator, Callable
from subprocess import PIPE

import aiohttp
import pytest

from msgctl.agents.agents import Agents
from msgctl.config.settings import Settings
from msgctl.local.fakes.n8n import FakeN8n, N8nBehavior
from msgctl.observability.metrics.registry import REGISTRY
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.messages import Traffic
from tests.support.metrics import MONITORING, scrape, value
from tools.support.daemons import Daemon, until

USER = "a-user-whom-no-metric-names"
Give = Callable[[], Settings]


class Fleet:
    """One daemon of each kind, with traffic.

    Args:
        traffic: puts messages in.
        agent: answers them.
        settings: of worker, subscriber and gateway, in this order.
    """

    def __init__(self, traffic: Traffic, agent: str, settings: list[Settings]) -> None:
        self.traffic = traffic
        self.agent = agent
        self.worker, self.subscriber, self.gateway = settings
        self.all = settings


@pytest.fixture
async def fleet(redis: RedisClient, settings: Settings, with_metrics: Give) -> AsyncIterator[Fleet]:
    """A running pipeline whose daemons serve metrics."""
    async with Agents(settings) as agents:
        agent = await agents.add(user_id=USER, name="Ana", webhook_path="chat")
    given = [with_metrics() for _ in range(3)]
    async with Daemon("worker", given[0]), Daemon("subscriber", given[1]), Daemon("gateway", given[2]):
        yield Fleet(Traffic(redis, settings), agent.id, given)


def test_each_metric_is_documented_as_it_is() -> None:
    """docs/metrics.md names every metric with type, labels and its own words, and none that is not there."""
    rows = []
    for family in REGISTRY.collect():
        if family.name.startswith("msgctl_"):
            metric = REGISTRY._names_to_collectors[family.name]
            labels = ", ".join(f"`{label}`" for label in getattr(metric, "_labelnames", ()))
            name = family.name + ("_total" if family.type == "counter" else "")
            rows.append(f"| `{name}` | {family.type} | {labels} | {family.documentation} |")
    page = (MONITORING.parent / "docs" / "metrics.md").read_text("utf-8").splitlines()
    assert sorted(line for line in page if line.startswith("| `")) == sorted(rows)


async def test_every_daemon_is_clean_and_names_no_one(fleet: Fleet, promtool: str) -> None:
    """`promtool check metrics` has no complaint, and no label holds a user, a message or a conversation."""
    await fleet.traffic.waiting("m-secret", user=USER, conversation="c-secret", agent=fleet.agent)

    async def told() -> bool:
        return (
            value(await scrape(fleet.subscriber), "msgctl_deliveries_total", '{channel="web",outcome="kept"}') == 1
        )

    await until(told, "the delivery to be counted")
    for settings in fleet.all:
        text = await scrape(settings)
        for secret in (USER, "m-secret", "c-secret", fleet.agent):
            assert secret not in text
        tool = await asyncio.create_subprocess_exec(
            promtool, "check", "metrics", stdin=PIPE, stdout=PIPE, stderr=PIPE
        )
        said, complaints = await tool.communicate(text.encode())
        assert (tool.returncode, said, complaints) == (0, b"", b"")


async def test_the_worker_counts_what_it_does(fleet: Fleet, n8n: FakeN8n) -> None:
    """Claims by priority, attempts by outcome, failures by class, each step's time, and that of n8n's call."""

    async def counted(outcome: str, count: int) -> None:
        async def there() -> bool:
            return value(await scrape(fleet.worker), "msgctl_attempts_total", f'{{outcome="{outcome}"}}') == count

        await until(there, f"{count} {outcome}")

    n8n.reset(N8nBehavior(mode="422"))
    await fleet.traffic.waiting("fails", user=USER, agent=fleet.agent)
    await counted("failed", 1)
    n8n.reset(N8nBehavior())
    for number in range(2):
        await fleet.traffic.waiting(f"m{number}", user=USER, agent=fleet.agent)
    await counted("completed", 2)
    text = await scrape(fleet.worker)
    assert value(text, "msgctl_claims_total", '{priority="5"}') == 3
    assert value(text, "msgctl_failures_total", '{class="final",code="n8n_rejected"}') == 1
    assert value(text, "msgctl_dead_letters_total") == 1
    assert value(text, "msgctl_step_duration_seconds_count", '{step="n8n"}') == 3
    assert value(text, "msgctl_n8n_request_duration_seconds_count", '{outcome="ok"}') == 2


async def test_every_daemon_tells_of_the_whole_pipeline(fleet: Fleet, redis: RedisClient) -> None:
    """Who lives, what waits and how Redis is, from whichever daemon is asked."""
    await redis.set(keys.RQ_SUSPENDED, "1")
    for number in range(4):
        await fleet.traffic.waiting(f"m{number}", user=USER, agent=fleet.agent)
    for settings in fleet.all:

        async def told(settings: Settings = settings) -> bool:
            text = await scrape(settings)
            lives = [value(text, f"msgctl_{kind}") for kind in ("workers", "subscribers", "gateways")]
            return lives == [1, 1, 1] and value(text, "msgctl_messages_waiting", '{priority="5"}') == 4

        await until(told, "the gauges to be true")
        text = await scrape(settings)
        assert (value(text, "msgctl_redis_up"), value(text, "msgctl_redis_durable")) == (1, 1)
        assert value(text, "msgctl_messages", '{state="paused"}') == 4
        assert (value(text, "msgctl_event_loop_lag_seconds") or 0) >= 0


async def test_only_metrics_are_served(fleet: Fleet) -> None:
    """Any other path is a 404, and a connection that says nothing holds nothing up."""
    _, silent = await asyncio.open_connection(fleet.worker.metrics.host, fleet.worker.metrics.port)
    url = f"http://{fleet.worker.metrics.host}:{fleet.worker.metrics.port}"
    async with aiohttp.ClientSession() as session, session.get(f"{url}/api") as answer:
        assert answer.status == 404
    assert "msgctl_workers" in await scrape(fleet.worker)
    silent.close()
    await silent.wait_closed()


async def test_a_taken_port_costs_the_metrics_and_not_the_daemon(with_metrics: Give) -> None:
    """The second daemon says so and works all the same."""
    settings = with_metrics()
    async with Daemon("worker", settings), Daemon("worker", settings) as second:
        await second.said("No metrics")
        assert "slots" in second.status


async def test_a_redis_that_is_silent_is_a_measurement(fleet: Fleet, redis: RedisClient) -> None:
    """While Redis does not answer, a daemon still answers Prometheus, and says so."""
    await redis.client_pause(6000, all=True)

    async def told() -> bool:
        return value(await scrape(fleet.gateway), "msgctl_redis_up") == 0

    await until(told, "the gateway to say that Redis is down")
