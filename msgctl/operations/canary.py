"""The canary: a synthetic message that goes the whole way again and again, so that silence is noticed.

Without `canary.agent` the worker answers it itself: it proves the way through Redis, worker, commit, stream and
subscriber, costs no model a token, and says nothing of n8n, of which the breakers tell. With an agent of yours it
goes through PostgreSQL and n8n as well. It is a message of its own user and conversation, and is removed once it
has arrived; observers of `pubsub:response:web` see its reply.
"""

import time
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgctl import contracts
from msgctl.clock import timestamp
from msgctl.config.settings import Settings
from msgctl.delivery.record import find
from msgctl.messages import CANARY_AGENT, Message, State
from msgctl.redisdb.client import RedisClient
from msgctl.rqueue.queue import Queue, Verdict

if TYPE_CHECKING:
    from msgctl.agents.store import Agents  # health looks in here, and does not need psycopg

USER = "msgctl-canary"
CONVERSATION = "msgctl-canary"
LONGEST = 3600.0
"""Seconds after which one that has not arrived is given up and the next one sent."""
ARRIVED = ("SENT", "KEPT")


class Canary:
    """Sends it and notices its arrival.

    Args:
        settings: `canary.*`.
        redis: a client of `redisdb.connect`.
        agents: finds the owner of `canary.agent`.
    """

    def __init__(self, settings: Settings, redis: RedisClient, agents: "Agents") -> None:
        self._settings = settings
        self._redis = redis
        self._agents = agents
        self._queue = Queue(redis, settings, actor="canary")

    async def look(self) -> None:
        """Note the arrival of the one that is under way; send another when it is time. Safe in several processes.

        Raises:
            RedisUnavailable, PostgresUnavailable: try again.
        """
        under_way = await self._redis.hgetall(contracts.CANARY)
        if under_way.get("id"):
            await self._notice(under_way)
        elif _now() - float(under_way.get("sentAt", 0)) >= self._settings.canary.interval * 1000:
            await self._send(under_way)

    async def _notice(self, under_way: Mapping[str, str]) -> None:
        message_id = under_way["id"]
        delivery = await find(self._redis, message_id)
        if delivery is not None and str(delivery.state) in ARRIVED:
            await self._redis.hset(contracts.CANARY, mapping={"arrivedAt": _now(), "id": ""})
            await self._queue.remove("finished", _now() + 1000, [message_id])
            return
        job = await self._queue.find(message_id)
        lost = job is None or job.state is State.FAILED
        if lost or _now() - float(under_way.get("sentAt", 0)) > LONGEST * 1000:
            await self._redis.hset(contracts.CANARY, "id", "")

    async def _send(self, before: Mapping[str, str]) -> None:
        ttl = max(1000, round(self._settings.canary.interval * 500))
        if not await self._redis.set(contracts.CANARY_SENDING, "1", nx=True, px=ttl):
            return
        message = await self._message()
        if message is None:
            return
        facts: dict[Any, Any] = {
            "id": message.message_id,
            "sentAt": _now(),
            "since": before.get("since") or _now(),
        }
        await self._redis.hset(contracts.CANARY, mapping=facts)
        enqueued = await self._queue.enqueue(message, digest=message.digest())
        if enqueued.verdict is not Verdict.ACCEPTED:
            await self._redis.hset(contracts.CANARY, "id", "")

    async def _message(self) -> Message | None:
        agent_id, user_id = CANARY_AGENT, USER
        if self._settings.canary.agent:
            agent = await self._agents.find(self._settings.canary.agent.lower())
            if agent is None:
                return None
            agent_id, user_id = agent.id, agent.user_id
        return Message(
            message_id=f"canary-{uuid.uuid4()}",
            conversation_id=CONVERSATION if user_id == USER else f"{CONVERSATION}-{agent_id}",
            agent_id=agent_id,
            user_id=user_id,
            message="Are you there?",
            priority=1,
            timestamp=timestamp(),
        )


def canary_age(facts: Mapping[str, str]) -> float | None:
    """Seconds since the last one arrived, or since the first was sent if none has; None if none was ever sent.

    Args:
        facts: the hash that `Canary` keeps.
    """
    last = facts.get("arrivedAt") or facts.get("since")
    return max(0.0, (_now() - float(last)) / 1000) if last else None


def _now() -> int:
    return round(time.time() * 1000)
