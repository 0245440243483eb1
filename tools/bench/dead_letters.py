"""Dead letters by the hundred thousand, made by the queue's own scripts, of errors as an incident leaves them."""

import asyncio

import msgspec

from msgctl.config.settings import Settings
from msgctl.domain.messages import Failure
from msgctl.domain.retry import GiveUp
from msgctl.queue.leases import LeaseClient, LeasedMessage
from msgctl.storage.redis.client import RedisClient
from tools.bench import messages

AT_ONCE = 500
CAUSES = (
    ("n8n_rejected", "n8n answered 400 to execution {n}."),
    ("n8n_timeout", "n8n did not answer within 120 s (execution {n})."),
    ("n8n_bad_reply", "The answer of https://n8n.example/webhook/{n} is no JSON."),
    ("agent_gone", "Agent 10000000-0000-4000-8000-{n:012d} is gone."),
)
"""What they failed of; each text is another one, and all of a code are one group."""


async def bury(redis: RedisClient, settings: Settings, *, count: int, conversations: int) -> None:
    """Let so many messages fail for good; nothing else may wait meanwhile."""
    await messages.fill(redis, settings, count=count, conversations=conversations)
    claims, buried = LeaseClient(redis, settings, "bench"), 0
    while buried < count:
        claimed = await claims.claim(AT_ONCE)
        await asyncio.gather(*(_fail(claims, one, buried + place) for place, one in enumerate(claimed)))
        buried += len(claimed)


async def _fail(claims: LeaseClient, claimed: LeasedMessage, number: int) -> None:
    code, text = CAUSES[number % len(CAUSES)]
    error = {"class": "final", "code": code, "text": text.format(n=number), "at": claimed.message.timestamp}
    record = msgspec.json.encode(error)
    failure = Failure.for_message(claimed.message, code, timestamp=claimed.message.timestamp)
    await claims.fail(claimed, GiveUp(), error=record, record=record, failure=failure)
