"""A replay goes on where the message stopped: what n8n answered once is delivered, not asked for again."""

from msgctl.config.settings import Settings
from msgctl.domain.retry import GiveUp
from msgctl.local.fakes.n8n import FakeN8n
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.command_line import Invoke
from tests.support.messages import ERROR, Traffic, commit, failure
from tools.support.daemons import Daemon, until


async def test_a_reply_that_n8n_gave_is_delivered(
    msgctl: Invoke, settings: Settings, traffic: Traffic, redis: RedisClient, n8n: FakeN8n
) -> None:
    """Its worker lost the lease on the way to the commit, and it died; a replay delivers that very reply."""
    claimed = await traffic.active("m")
    await redis.zrem(keys.LEASES, claimed.lease)
    assert await commit(traffic.claims, claimed, "an answer that cost ten seconds") is None
    await redis.zadd(keys.LEASES, {claimed.lease: 2e12})
    await traffic.claims.fail(claimed, GiveUp(), error=ERROR, record=ERROR, failure=failure(claimed))
    shown = await msgctl("dlq", "replay", "m", "--dry-run", "-o", "json")
    assert [one["outcome"] for one in shown.json["items"]] == ["would_replay"]
    async with Daemon("worker", settings), Daemon("subscriber", settings):
        assert (await msgctl("dlq", "replay", "m")).code == 0
        waited = await msgctl("message", "wait", "m", "-o", "json")
        assert waited.json["items"][0]["response"]["message"] == "an answer that cost ten seconds"

        async def ended() -> bool:
            found = (await msgctl("message", "show", "m", "-o", "json")).json
            return found.get("delivery", {}).get("state") in {"SENT", "KEPT"}

        await until(ended, "the delivery")
    assert n8n.calls_by_message.total() == 0
    told = (await msgctl("message", "trace", "m", "-o", "json")).json["events"]
    assert [event["what"] for event in told].count("committed") == 1
