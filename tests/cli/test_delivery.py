"""`msgctl delivery retry | drop` and `msgctl channel pause | resume | test`."""

from typing import Any

from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.command_line import Invoke


async def test_channel_pause_is_undone_by_resume(msgctl: Invoke, redis: RedisClient) -> None:
    """`list` shows the pause and the journal records it. The web channel cannot be paused."""
    assert (await msgctl("channel", "pause", "telegram", "--reason", "maintenance")).code == 0
    listed = (await msgctl("channel", "list", "-o", "json")).json["items"]
    assert {row["channel"]: row["state"] for row in listed}["telegram"] == "paused"
    acts = (await msgctl("journal", "list", "-o", "json")).json["items"]
    assert (acts[0]["act"], acts[0]["reason"]) == ("channel pause", "maintenance")
    assert (await msgctl("channel", "resume", "telegram")).code == 0
    assert (await redis.hgetall(keys.CHANNEL_STATE + "telegram")).keys() == {"resumedAt"}
    assert (await msgctl("channel", "pause", "web")).code == 2


async def test_channel_list_explains_last_error(msgctl: Invoke, redis: RedisClient) -> None:
    """The list contains the advice for the provider's error code."""
    failed: Any = {"code": "whatsapp_131047", "text": "x", "failedAt": 1}
    await redis.hset(keys.CHANNEL_STATE + "whatsapp", mapping=failed)
    row = next(row for row in (await msgctl("channel", "list", "-o", "json")).json["items"] if row["advice"])
    assert row["lastError"] == "whatsapp_131047"
    assert "24 h window" in row["advice"]


async def test_channel_test_without_subscriber_exits_4(msgctl: Invoke) -> None:
    """The error gives the reason. The text waits in the stream."""
    outcome = await msgctl("channel", "test", "telegram", "--to", "42", "--timeout", "1s")
    assert outcome.code == 4
    assert "subscriber" in outcome.stderr


async def test_delivery_retry_and_drop_change_state(msgctl: Invoke, redis: RedisClient) -> None:
    """A retry makes it due, a drop makes it FAILED. An ended or missing delivery exits with 4."""
    record: Any = {"state": "FAILED", "channel": "telegram", "body": "{}", "endedAt": 1, "code": "telegram_403"}
    await redis.hset(keys.DELIVERY + "m1", mapping=record)
    assert (await msgctl("delivery", "retry", "m1")).code == 6  # nobody confirmed it
    assert (await msgctl("delivery", "retry", "m1", "--yes", "-o", "ids")).stdout == "m1\n"
    assert await redis.zrange(keys.POSTPONED, 0, -1) == ["m1"]
    assert (await msgctl("delivery", "drop", "m1", "--yes")).code == 0
    assert await redis.zcard(keys.POSTPONED) == 0
    partial = await msgctl("delivery", "drop", "m1", "nobody", "--yes", "-o", "json")
    assert partial.code == 4
    assert [item["outcome"] for item in partial.json["items"]] == ["failed", "missing"]
