"""The watchdog: fed while the daemon makes progress or Redis is down, and not fed while the daemon is stuck."""

import asyncio
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from daemons.runtime.watchdog import LivenessTracker, WaitingCounts, Watchdog, count_waiting, watchdog_task
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


async def _report_status() -> str:
    return "7/10 slots, 3 waiting"


async def _fail_status() -> str:
    raise RedisConnectionError("the connections of this process are broken")


async def test_watchdog_is_fed_while_the_daemon_makes_progress(settings: Settings, redis: RedisClient) -> None:
    """The status is reported with WATCHDOG=1."""
    assert await Watchdog(settings, LivenessTracker(), _report_status).check() == [
        "STATUS=7/10 slots, 3 waiting",
        "WATCHDOG=1",
    ]


async def test_stalled_loop_is_named_unless_it_is_idle(settings: Settings, redis: RedisClient) -> None:
    """A loop that is overdue counts. A loop that waits for long is idle and does not."""
    liveness = LivenessTracker()
    liveness.beat("claiming")
    assert liveness.stalled(since=float("inf")) == "claiming"
    liveness.idle("claiming")
    assert not liveness.stalled(since=float("inf"))


async def test_watchdog_is_not_fed_if_redis_answers_only_new_connections(
    settings: Settings, redis: RedisClient
) -> None:
    """Redis answers a new connection and not this process, so the process must be restarted."""
    (only,) = await Watchdog(settings, LivenessTracker(), _fail_status, grace_s=0).check()
    assert only.startswith("STATUS=stuck: Redis answers a new connection")


async def test_outage_of_redis_excuses_everything(settings: Settings) -> None:
    """No daemon is restarted because Redis is down. The status names the reason."""
    away = settings.model_copy(update={"redis": settings.redis.model_copy(update={"port": 1, "timeout": 1.0})})
    liveness = LivenessTracker()
    liveness.beat("claiming")
    lines = await Watchdog(away, liveness, _fail_status, grace_s=0).check()
    assert lines == ["STATUS=Redis does not answer; waiting for it", "WATCHDOG=1"]


async def test_redis_unavailable_from_status_is_an_outage(settings: Settings) -> None:
    """If `status` raises RedisUnavailable, the watchdog is still fed."""

    async def _away() -> str:
        raise RedisUnavailable("Redis does not answer")

    away = settings.model_copy(update={"redis": settings.redis.model_copy(update={"port": 1, "timeout": 1.0})})
    assert (await Watchdog(away, LivenessTracker(), _away, grace_s=0).check())[1] == "WATCHDOG=1"


async def test_paused_messages_are_not_claimable(settings: Settings, redis: RedisClient) -> None:
    """Messages of paused priorities, or of a suspended RQ, wait but are not claimable."""
    one = message(1)
    await Queue(redis, settings).enqueue(one, digest=one.digest())
    assert await count_waiting(redis) == WaitingCounts(total=1, claimable=1)
    await redis.sadd(keys.PAUSED, keys.QUEUES[one.priority - 1])
    assert await count_waiting(redis) == WaitingCounts(total=1, claimable=0)
    await redis.delete(keys.PAUSED)
    await redis.set(keys.RQ_SUSPENDED, 1)
    assert await count_waiting(redis) == WaitingCounts(total=1, claimable=0)


async def test_loop_is_stalled_since_it_was_first_expected() -> None:
    """A repeated `expect` without a `beat` does not reset the time."""
    liveness = LivenessTracker()
    liveness.expect(CLAIM_PROGRESS)
    first = time.monotonic()
    liveness.expect(CLAIM_PROGRESS)
    assert liveness.stalled(since=first) == CLAIM_PROGRESS
    liveness.idle(CLAIM_PROGRESS)
    assert not liveness.stalled(since=float("inf"))


async def test_watchdog_is_fed_if_systemd_requests_it(
    settings: Settings, redis: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With WATCHDOG_USEC each check sends a datagram with the status and WATCHDOG=1."""
    with closing(NotifySocket()) as systemd:
        monkeypatch.setenv("NOTIFY_SOCKET", systemd.address)
        monkeypatch.setenv("WATCHDOG_USEC", "200000")
        async with watchdog_task(settings, LivenessTracker(), _report_status):
            for _ in range(2):
                assert await systemd.receive() == ["STATUS=7/10 slots, 3 waiting", "WATCHDOG=1"]


async def test_daemon_with_wait_starts_after_redis(settings: Settings, tmp_path: Path) -> None:
    """Redis may start later than the daemon, which reports that it waits, and then that it is ready."""
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
                assert await systemd.receive() == ["STATUS=Redis takes no writes; waiting for it"]
            async with ValkeyServer(tmp_path / "valkey", port), asyncio.timeout(PATIENCE):
                await systemd.wait_ready()
                process.terminate()
                assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def test_daemon_with_wait_exits_after_its_timeout(settings: Settings) -> None:
    """It exits with 69 and names the address, as without `--wait`."""
    nowhere = settings.redis.model_copy(update={"port": 9})
    async with Daemon("worker", settings.model_copy(update={"redis": nowhere}), "--wait", "0.2") as worker:
        assert await worker.exited() == 69
    assert "Waiting for Redis" in worker.output
    assert "redis://127.0.0.1:9/" in worker.output
