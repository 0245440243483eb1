"""`msgctl verify`."""

from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.command_line import Invoke
from tests.support.messages import Traffic


async def test_verify_exits_4_for_a_violation(msgctl: Invoke, traffic: Traffic, redis: RedisClient) -> None:
    """The output names the invariant and the id. Without a violation it exits with 0 and prints counts."""
    await traffic.waiting("m1")
    whole = await msgctl("verify", "-o", "json")
    assert (whole.code, whole.stderr) == (0, "")
    assert whole.json == {
        "schema": "msgctl.verdict/1",
        "holds": True,
        "messages": {"waiting": 1},
        "violations": [],
        "violated": 0,
        "limit": 100,
    }
    assert "Every invariant holds." in (await msgctl("verify")).stderr

    await redis.delete(keys.RQ_QUEUE + "messages:5")
    broken = await msgctl("verify", "-o", "json")
    problem = "its status is queued, and it is in no queue"
    assert (broken.code, broken.json["violated"]) == (4, 1)
    assert broken.json["violations"] == [{"invariant": "I4", "subject": "m1", "problem": problem}]
    table = await msgctl("verify")
    assert (table.code, table.stderr.strip()) == (
        4,
        "I4: no conversation is stuck, and nothing runs past its lease.\nmsgctl: 1 violation (I4: 1).",
    )
    assert ["I4", "m1", *problem.split()] in [line.split() for line in table.lines]
