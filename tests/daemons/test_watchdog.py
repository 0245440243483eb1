"""The watchdog's verdict: fed while the daemon gets on or Redis is away, not fed when the daemon stands still."""

import asyncio
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from daemons.runtime.liveness import LivenessTracker
from daemons.runtime.watchdog import WaitingCounts, Watchdog, count_waiting, watchdog_task
from daemons.worker.loop import CLAIM_PROGRESS
from msgctl.config.settings import Settings
from msgctl.domain.errors import RedisUnavailable
from msgctl.local.servers.valkey import ValkeyServer
from msgctl.local.supervisor.ports import free_port
from msgctl.observability.sd_notify import NotifySocket
from msgctl.queue.queue import Queue
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.valkey_server import message
from tools.support.daemons import PATIENCE, Daemon, environment


async def _busy() -> str:
    return "7/10 slots, 3 waiting"


async def _broken() -> str:
    raise RedisConnectionError("this process's own connections are wedged")


async def test_a_daemon_that_gets_on_feeds_the_watchdog(settings: Settings, redis: RedisClient) -> None:
    """What it does is told, and that all is well."""
    assert await Watchdog(settings, LivenessTracker(), _busy).check() == [
        "STATUS=7/10 slots, 3 waiting",
        "WATCHDOG=1",
    ]


async def test_a_loop_that_stands_still_is_named_unless_it_rests(settings: Settings, redis: RedisClient) -> None:
    """A loop that was due and did not come round counts; one that waits for what may take long does not."""
    pace = LivenessTracker()
    pace.beat("claiming")
    assert pace.stalled(since=float("inf")) == "claiming"
    pace.idle("claiming")
    assert not pace.stalled(since=float("inf"))


async def test_a_process_that_redis_answers_no_more_starves_the_watchdog(
    settings: Settings, redis: RedisClient
) -> None:
    """Redis answers a newcomer and not us: this process is what is broken, and must be started again."""
    (only,) = await Watchdog(settings, LivenessTracker(), _broken, grace_s=0).check()
    assert only.startswith("STATUS=stuck: Redis answers a new connection")


async def test_redis_being_away_excuses_everything(settings: Settings) -> None:
    """Nobody is killed because Redis is down; the status says what is waited for."""
    away = settings.model_copy(update={"redis": settings.redis.model_copy(update={"port": 1, "timeout": 1.0})})
    pace = LivenessTracker()
    pace.beat("claiming")
    told = await Watchdog(away, pace, _broken, grace_s=0).check()
    assert told == ["STATUS=Redis does not answer; waiting for it", "WATCHDOG=1"]


async def test_an_outage_told_in_our_own_words_excuses_too(settings: Settings) -> None:
    """A status that ends in RedisUnavailable is an outage, and the watchdog goes on feeding."""

    async def _away() -> str:
        raise RedisUnavailable("Redis does not answer")

    away = settings.model_copy(update={"redis": settings.redis.model_copy(update={"port": 1, "timeout": 1.0})})
    assert (await Watchdog(away, LivenessTracker(), _away, grace_s=0).check())[1] == "WATCHDOG=1"


async def test_only_what_a_worker_could_take_is_expected_of_it(settings: Settings, redis: RedisClient) -> None:
    """Paused priorities and a suspended RQ wait rightly; the rest is there to be claimed."""
    one = message(1)
    await Queue(redis, settings).enqueue(one, digest=one.digest())
    assert await count_waiting(redis) == WaitingCounts(total=1, claimable=1)
    await redis.sadd(keys.PAUSED, keys.QUEUES[one.priority - 1])
    assert await count_waiting(redis) == WaitingCounts(total=1, claimable=0)
    await redis.delete(keys.PAUSED)
    await redis.set(keys.RQ_SUSPENDED, 1)
    assert await count_waiting(redis) == WaitingCounts(total=1, claimable=0)


async def test_what_was_expected_first_counts() -> None:
    """A loop that is expected again and again, and never does it, is stuck from the first time on."""
    pace = LivenessTracker()
    pace.expect(CLAIM_PROGRESS)
    first = time.monotonic()
    pace.expect(CLAIM_PROGRESS)
    assert pace.stalled(since=first) == CLAIM_PROGRESS
    pace.idle(CLAIM_PROGRESS)
    assert not pace.stalled(since=float("inf"))


async def test_the_watchdog_is_fed_where_systemd_asks_for_it(
    settings: Settings, redis: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With WATCHDOG_USEC each look is a datagram with the status and WATCHDOG=1."""
    with closing(NotifySocket()) as systemd:
        monkeypatch.setenv("NOTIFY_SOCKET", systemd.address)
        monkeypatch.setenv("WATCHDOG_USEC", "200000")
        async with watchdog_task(settings, LivenessTracker(), _busy):
            for _ in range(2):
                assert await systemd.receive() == ["STATUS=7/10 slots, 3 waiting", "WATCHDOG=1"]


async def test_a_daemon_that_may_wait_starts_once_redis_does(settings: Settings, tmp_path: Path) -> None:
    """Where systemd counts starts, Redis may come up later: the daemon says that it waits, and then is ready."""
    port = free_port()
    late = settings.redis.model_copy(update={"port": port, "password": type(settings.redis.password)("")})
    settings = settings.model_copy(update={"redis": late})
    with closing(NotifySocket()) as systemd:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "daemons.worker", "--wait", "60"),
            env=environment(settings) | {"NOTIFY_SOCKET": systemd.address},
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(PATIENCE):
                assert await systemd.receive() == ["STATUS=Redis does not answer; waiting for it"]
            async with ValkeyServer(tmp_path / "valkey", port), asyncio.timeout(PATIENCE):
                await systemd.wait_ready()
                process.terminate()
                assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def test_a_daemon_waits_no_longer_than_it_may(settings: Settings) -> None:
    """At the end of its patience it leaves with 69 and the address, as without it."""
    nowhere = settings.redis.model_copy(update={"port": 9})
    async with Daemon("worker", settings.model_copy(update={"redis": nowhere}), "--wait", "0.2") as worker:
        assert await worker.exited() == 69
    assert "Waiting for Redis" in worker.output
    assert "redis://127.0.0.1:9/" in worker.output
