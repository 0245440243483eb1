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

from msgctl.config.settings import Settings
from msgctl.delivery.delivery_record import find_record
from msgctl.domain.messages import CANARY_AGENT_ID, Message, State
from msgctl.domain.timestamps import timestamp
from msgctl.queue.queue import EnqueueStatus, Queue
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient

if TYPE_CHECKING:
    from msgctl.agents.store import Agents  # health looks in here, and does not need psycopg

CANARY_USER = "msgctl-canary"
CANARY_CONVERSATION = "msgctl-canary"
CANARY_GIVE_UP_AFTER_S = 3600.0
"""Seconds after which one that has not arrived is given up and the next one sent."""
DELIVERED_STATES = ("SENT", "KEPT")


class CanaryRunner:
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

    async def advance(self) -> None:
        """Note the arrival of the one that is under way; send another when it is time. Safe in several processes.

        Raises:
            RedisUnavailable, PostgresUnavailable: try again.
        """
        under_way = await self._redis.hgetall(keys.CANARY)
        if under_way.get("id"):
            await self._check_arrival(under_way)
        elif _now_ms() - float(under_way.get("sentAt", 0)) >= self._settings.canary.interval * 1000:
            await self._send(under_way)

    async def _check_arrival(self, under_way: Mapping[str, str]) -> None:
        message_id = under_way["id"]
        delivery = await find_record(self._redis, message_id)
        if delivery is not None and str(delivery.state) in DELIVERED_STATES:
            await self._redis.hset(keys.CANARY, mapping={"arrivedAt": _now_ms(), "id": ""})
            await self._queue.delete_ended("finished", _now_ms() + 1000, [message_id])
            return
        job = await self._queue.find(message_id)
        lost = job is None or job.state is State.FAILED
        if lost or _now_ms() - float(under_way.get("sentAt", 0)) > CANARY_GIVE_UP_AFTER_S * 1000:
            await self._redis.hset(keys.CANARY, "id", "")

    async def _send(self, before: Mapping[str, str]) -> None:
        ttl = max(1000, round(self._settings.canary.interval * 500))
        if not await self._redis.set(keys.CANARY_SENDING, "1", nx=True, px=ttl):
            return
        message = await self._make_message()
        if message is None:
            return
        facts: dict[Any, Any] = {
            "id": message.message_id,
            "sentAt": _now_ms(),
            "since": before.get("since") or _now_ms(),
        }
        await self._redis.hset(keys.CANARY, mapping=facts)
        enqueued = await self._queue.enqueue(message, digest=message.digest())
        if enqueued.status is not EnqueueStatus.ACCEPTED:
            await self._redis.hset(keys.CANARY, "id", "")

    async def _make_message(self) -> Message | None:
        agent_id, user_id = CANARY_AGENT_ID, CANARY_USER
        if self._settings.canary.agent:
            agent = await self._agents.find(self._settings.canary.agent.lower())
            if agent is None:
                return None
            agent_id, user_id = agent.id, agent.user_id
        return Message(
            message_id=f"canary-{uuid.uuid4()}",
            conversation_id=CANARY_CONVERSATION if user_id == CANARY_USER else f"{CANARY_CONVERSATION}-{agent_id}",
            agent_id=agent_id,
            user_id=user_id,
            message="Are you there?",
            priority=1,
            timestamp=timestamp(),
        )


def canary_age_s(facts: Mapping[str, str]) -> float | None:
    """Seconds since the last one arrived, or since the first was sent if none has; None if none was ever sent.

    Args:
        facts: the hash that `Canary` keeps.
    """
    last = facts.get("arrivedAt") or facts.get("since")
    return max(0.0, (_now_ms() - float(last)) / 1000) if last else None


def _now_ms() -> int:
    return round(time.time() * 1000)
