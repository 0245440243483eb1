"""Many calls in one round trip, each with its own answer, on a real server."""

import asyncio
from typing import Any

from redis.exceptions import ResponseError

from msgctl.config.settings import Settings
from msgctl.domain.errors import RedisUnavailable
from msgctl.storage.redis.connections import connect
from msgctl.storage.redis.lua import Script
from msgctl.storage.redis.pipelining import AutoPipeline

ECHO = Script("return ARGV[1]")
BREAK = Script("return redis.error_reply('no ' .. ARGV[1])")


async def test_each_call_has_its_own_answer(redis: Any) -> None:
    """Scripts and commands that went out together come back to who asked, in any number."""
    batch = AutoPipeline(redis)
    answers = await asyncio.gather(*(batch.run_script(ECHO, str(number)) for number in range(500)))
    assert answers == [str(number) for number in range(500)]
    await redis.rpush("list", "a", "b")
    assert await batch.run_command("LRANGE", "list", 0, -1) == ["a", "b"]


async def test_one_that_fails_fails_alone(redis: Any) -> None:
    """The neighbours of an error do not notice it."""
    batch = AutoPipeline(redis)
    calls = (batch.run_script(ECHO, "x"), batch.run_script(BREAK, "way"), batch.run_command("PING"))
    outcomes = list(await asyncio.gather(*calls, return_exceptions=True))
    assert (outcomes[0], outcomes[2]) == ("x", True)
    assert isinstance(outcomes[1], ResponseError)
    assert "no way" in str(outcomes[1])


async def test_calls_that_wait_share_a_round_trip(redis: Any) -> None:
    """While one call is on its way, the others gather: many calls, few pipelines."""
    batch = AutoPipeline(redis)
    sent = []
    execute = batch._execute

    async def counted(calls: Any) -> list[Any]:
        sent.append(len(calls))
        return await execute(calls)

    batch._execute = counted  # type: ignore[method-assign]
    await asyncio.gather(*(batch.run_script(ECHO, "x") for _ in range(150)))
    assert sum(sent) == 150
    assert len(sent) <= 5


async def test_who_is_in_a_hurry_goes_first(redis: Any) -> None:
    """A call that must not wait behind hundreds of others is answered before them."""
    batch = AutoPipeline(redis)
    answered: list[str] = []

    async def ask(word: str, *, first: bool = False) -> None:
        answered.append(await batch.run_script(ECHO, word, first=first))

    await batch.run_script(ECHO, "x")  # Redis knows the script from now on
    others = [asyncio.create_task(ask(str(number))) for number in range(300)]
    await asyncio.sleep(0)
    await ask("first", first=True)
    assert answered.index("first") < 100
    await asyncio.gather(*others)


async def test_a_call_nobody_waits_for_is_not_made(redis: Any) -> None:
    """Who gives a call up before it is sent can be sure that it does not happen later."""
    batch = AutoPipeline(redis)
    others = [asyncio.create_task(batch.run_command("INCR", "calls")) for _ in range(300)]
    given_up = asyncio.create_task(batch.run_command("SET", "given-up", 1))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.gather(*others)
    assert await redis.mget("calls", "given-up") == ["300", None]


async def test_scripts_that_redis_forgot_are_sent_whole(redis: Any) -> None:
    """After a restart of Redis the first calls know how to help themselves."""
    await redis.script_flush()
    batch = AutoPipeline(redis)
    answers = await asyncio.gather(batch.run_script(ECHO, "a"), batch.run_script(ECHO, "b"))
    assert list(answers) == ["a", "b"]


async def test_who_leaves_takes_nobody_along(redis: Any) -> None:
    """A cancelled caller does not disturb the others of its batch."""
    batch = AutoPipeline(redis)
    leaving = asyncio.create_task(batch.run_script(ECHO, "x"))
    staying = asyncio.create_task(batch.run_script(ECHO, "y"))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == "y"


async def test_an_outage_is_told_to_everyone(settings: Settings) -> None:
    """Without Redis each caller gets the error, and a later call is tried anew."""
    nowhere = settings.model_copy(update={"redis": settings.redis.model_copy(update={"port": 9})})
    async with connect(nowhere) as client:
        batch = AutoPipeline(client)
        for _ in range(2):
            outcomes = await asyncio.gather(*(batch.run_command("PING") for _ in range(3)), return_exceptions=True)
            assert all(isinstance(outcome, RedisUnavailable) for outcome in outcomes)
