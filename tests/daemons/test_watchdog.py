"""The watchdog's verdict: fed while the daemon gets on or Redis is away, not fed when the daemon stands still."""

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from daemons._pace import Pace
from daemons._watchdog import Watchdog
from msgctl.config import Settings


async def _busy() -> str:
    return "7/10 slots, 3 waiting"


async def _broken() -> str:
    raise RedisConnectionError("this process's own connections are wedged")


async def test_a_daemon_that_gets_on_feeds_the_watchdog(settings: Settings, redis: Redis) -> None:
    """What it does is told, and that all is well."""
    assert await Watchdog(settings, Pace(), _busy).look() == ["STATUS=7/10 slots, 3 waiting", "WATCHDOG=1"]


async def test_a_loop_that_stands_still_is_named_unless_it_rests(settings: Settings, redis: Redis) -> None:
    """A loop that was due and did not come round counts; one that waits for what may take long does not."""
    pace = Pace()
    pace.mark("claiming")
    assert pace.stuck(since=float("inf")) == "claiming"
    pace.rest("claiming")
    assert not pace.stuck(since=float("inf"))


async def test_a_process_that_redis_answers_no_more_starves_the_watchdog(settings: Settings, redis: Redis) -> None:
    """Redis answers a newcomer and not us: this process is what is broken, and must be started again."""
    (only,) = await Watchdog(settings, Pace(), _broken, patience=0).look()
    assert only.startswith("STATUS=stuck: Redis answers a new connection")


async def test_redis_being_away_excuses_everything(settings: Settings) -> None:
    """Nobody is killed because Redis is down; the status says what is waited for."""
    away = settings.model_copy(update={"redis": settings.redis.model_copy(update={"port": 1, "timeout": 1.0})})
    pace = Pace()
    pace.mark("claiming")
    told = await Watchdog(away, pace, _broken, patience=0).look()
    assert told == ["STATUS=Redis does not answer; waiting for it", "WATCHDOG=1"]
