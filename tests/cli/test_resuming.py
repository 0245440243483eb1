"""Replay of a message whose reply was already given: the reply is delivered without calling n8n again."""

from msgctl.config.settings import Settings
from msgctl.domain.retry import GiveUp
from msgctl.local.fakes.n8n import FakeN8n
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.command_line import Invoke
from tests.support.messages import ERROR, Traffic, commit, failure
from tools.support.daemons import Daemon, until


async def test_replay_delivers_reply_of_lost_commit(
    msgctl: Invoke, settings: Settings, traffic: Traffic, redis: RedisClient, n8n: FakeN8n
) -> None:
    """The message failed because its worker lost the lease before the commit. The replay delivers n8n's reply."""
    claimed = await traffic.active("m")
    await redis.zrem(keys.LEASES, claimed.lease)
    assert await commit(traffic.claims, claimed, "an answer that cost ten seconds") is None
    await redis.zadd(keys.LEASES, {claimed.lease: 2e12})
    await traffic.claims.fail(claimed, GiveUp(), error=ERROR, record=ERROR, failure=failure(claimed))
    shown = await msgctl("dlq", "replay", "m", "--dry-run", "-o", "json")
    assert [item["outcome"] for item in shown.json["items"]] == ["would_replay"]
    async with Daemon("worker", settings), Daemon("subscriber", settings):
        assert (await msgctl("dlq", "replay", "m")).code == 0
        waited = await msgctl("message", "wait", "m", "-o", "json")
        assert waited.json["items"][0]["response"]["message"] == "an answer that cost ten seconds"

        async def ended() -> bool:
            message = (await msgctl("message", "show", "m", "-o", "json")).json
            return message.get("delivery", {}).get("state") in {"SENT", "KEPT"}

        await until(ended, "the delivery")
    assert n8n.calls_by_message.total() == 0
    events = (await msgctl("message", "trace", "m", "-o", "json")).json["events"]
    assert [event["what"] for event in events].count("committed") == 1
