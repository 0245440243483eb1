"""Looking at one message."""

import pytest

from msgctl.domain.errors import NotFound
from msgctl.operations.context import Context
from msgctl.operations.messages.lookup import Messages
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.messages import ERROR, Traffic


async def test_the_status_of_a_waiting_message_is_the_contracts(traffic: Traffic, context: Context) -> None:
    """What has not begun has no progress, no end, no error and no delivery."""
    await traffic.waiting("m")
    assert await context.get(Messages).status("m") == {
        "messageId": "m",
        "state": "waiting",
        "progress": 0,
        "finishedOn": None,
        "attempts": 0,
    }


async def test_a_completed_message_tells_when_it_ended(
    traffic: Traffic, context: Context, redis: RedisClient
) -> None:
    """`finishedOn` is in Unix milliseconds and `progress` is 100."""
    await traffic.completed("m")
    seconds, _ = await redis.time()
    status = await context.get(Messages).status("m")
    assert (status["state"], status["progress"], status["attempts"]) == ("completed", 100, 1)
    assert abs(status["finishedOn"] / 1000 - seconds) < 60


async def test_a_failed_message_tells_why(traffic: Traffic, context: Context) -> None:
    """The error is its class, its code and its text, and nothing that is not the outside's business."""
    await traffic.failed("m")
    status = await context.get(Messages).status("m")
    assert status["state"] == "failed"
    assert status["error"] == {"class": "final", "code": "n8n_rejected", "text": "n8n answered 400."}


async def test_a_completed_message_has_no_error(traffic: Traffic, context: Context, redis: RedisClient) -> None:
    """What an earlier attempt met is in its record, and no longer the state of the message."""
    await traffic.completed("m")
    await redis.hset(keys.RQ_JOB + "m", keys.FIELD_ERROR, ERROR)
    assert "error" not in await context.get(Messages).status("m")


async def test_the_status_tells_of_the_delivery(traffic: Traffic, context: Context, redis: RedisClient) -> None:
    """Its state and the provider's id, once there is a record of it."""
    await traffic.completed("m")
    record = {"state": "SENT", "channel": "telegram", "providerId": "42", "attempts": "1"}
    await redis.hset(keys.DELIVERY + "m", mapping=record)
    assert (await context.get(Messages).status("m"))["delivery"] == {"state": "SENT", "providerId": "42"}


async def test_another_users_message_does_not_exist(traffic: Traffic, context: Context) -> None:
    """A message of someone else and one that never was are refused in the same words."""
    await traffic.waiting("m", user="ana")
    assert (await context.get(Messages).status("m", user_id="ana"))["state"] == "waiting"
    with pytest.raises(NotFound) as foreign:
        await context.get(Messages).status("m", user_id="bia")
    with pytest.raises(NotFound) as absent:
        await context.get(Messages).status("none", user_id="bia")
    assert str(foreign.value) == str(absent.value)


async def test_an_operator_sees_the_message_and_each_run(traffic: Traffic, context: Context) -> None:
    """`show` has the text, whose it is, and the record of the run that failed."""
    await traffic.failed("m")
    shown = await context.get(Messages).show("m")
    assert (shown["message"], shown["userId"], shown["runs"]) == ("hello", "ana", 1)
    assert [record["code"] for record in shown["records"]] == ["n8n_rejected"]
