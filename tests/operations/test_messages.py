"""The status and the record of one message."""

import pytest

from msgctl.domain.errors import NotFound
from msgctl.operations.context import Context
from msgctl.operations.messages.lookup import Messages
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.messages import ERROR, Traffic


async def test_status_of_a_waiting_message_has_five_fields(traffic: Traffic, context: Context) -> None:
    """A message that has not started has no progress, no end, no error, and no delivery."""
    await traffic.waiting("m")
    assert await context.get(Messages).status("m") == {
        "messageId": "m",
        "state": "waiting",
        "progress": 0,
        "finishedOn": None,
        "attempts": 0,
    }


async def test_status_of_a_completed_message_has_its_end(
    traffic: Traffic, context: Context, redis: RedisClient
) -> None:
    """`finishedOn` is in Unix milliseconds and `progress` is 100."""
    await traffic.completed("m")
    seconds, _ = await redis.time()
    status = await context.get(Messages).status("m")
    assert (status["state"], status["progress"], status["attempts"]) == ("completed", 100, 1)
    assert abs(status["finishedOn"] / 1000 - seconds) < 60


async def test_status_of_a_failed_message_has_its_error(traffic: Traffic, context: Context) -> None:
    """The error has class, code, and text, and no internal fields."""
    await traffic.failed("m")
    status = await context.get(Messages).status("m")
    assert status["state"] == "failed"
    assert status["error"] == {"class": "final", "code": "n8n_rejected", "text": "n8n answered 400."}


async def test_status_of_a_completed_message_has_no_error(
    traffic: Traffic, context: Context, redis: RedisClient
) -> None:
    """The error of an earlier attempt is only in the record of its run."""
    await traffic.completed("m")
    await redis.hset(keys.RQ_JOB + "m", keys.FIELD_ERROR, ERROR)
    assert "error" not in await context.get(Messages).status("m")


async def test_status_has_the_state_of_the_delivery(
    traffic: Traffic, context: Context, redis: RedisClient
) -> None:
    """It has the state and the id of the provider once there is a delivery record."""
    await traffic.completed("m")
    record = {"state": "SENT", "channel": "telegram", "providerId": "42", "attempts": "1"}
    await redis.hset(keys.DELIVERY + "m", mapping=record)
    assert (await context.get(Messages).status("m"))["delivery"] == {"state": "SENT", "providerId": "42"}


async def test_message_of_another_user_does_not_exist(traffic: Traffic, context: Context) -> None:
    """The error is the same as for a message that never existed."""
    await traffic.waiting("m", user="ana")
    assert (await context.get(Messages).status("m", user_id="ana"))["state"] == "waiting"
    with pytest.raises(NotFound) as foreign:
        await context.get(Messages).status("m", user_id="bia")
    with pytest.raises(NotFound) as absent:
        await context.get(Messages).status("none", user_id="bia")
    assert str(foreign.value) == str(absent.value)


async def test_show_has_the_message_and_each_run(traffic: Traffic, context: Context) -> None:
    """It has the text, the user, and the record of the failed run."""
    await traffic.failed("m")
    shown = await context.get(Messages).show("m")
    assert (shown["message"], shown["userId"], shown["runs"]) == ("hello", "ana", 1)
    assert [record["code"] for record in shown["records"]] == ["n8n_rejected"]
