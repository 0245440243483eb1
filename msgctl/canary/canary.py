"""The canary: a synthetic message that passes the whole pipeline at intervals, so that silent faults show.

Without `canary.agent` the worker itself answers it. Then it tests Redis, worker, commit, stream, and subscriber.
It costs no tokens and tells nothing about n8n, whose state the breakers show. With an agent it also passes
PostgreSQL and n8n. It has a user and a conversation of its own, and is deleted after it has arrived. Observers of
`pubsub:response:web` see its reply.
"""

import time
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgctl.config.settings import Settings
from msgctl.delivery.delivery_record import find_record
from msgctl.domain.messages import CANARY_AGENT_ID, Message, State
from msgctl.domain.times import timestamp
from msgctl.queue.queue import EnqueueStatus, Queue
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient

if TYPE_CHECKING:
    from msgctl.agents.agents import Agents  # the health check imports this module and needs no psycopg

CANARY_USER = "msgctl-canary"
CANARY_CONVERSATION = "msgctl-canary"
CANARY_GIVE_UP_AFTER_S = 3600.0
"""Seconds after which a canary that has not arrived is abandoned and the next one is sent."""
DELIVERED_STATES = ("SENT", "KEPT")


class CanaryRunner:
    """Sends the canary and records its arrival.

    Args:
        settings: `canary.*`.
        redis: a client made by `connect`.
        agents: finds the owner of `canary.agent`.
    """

    def __init__(self, settings: Settings, redis: RedisClient, agents: "Agents") -> None:
        self._settings = settings
        self._redis = redis
        self._agents = agents
        self._queue = Queue(redis, settings, actor="canary")

    async def advance(self) -> None:
        """Record the arrival of the canary, or send the next one when it is due. Safe in several processes.

        Raises:
            RedisUnavailable, PostgresUnavailable: nothing changed. The next call tries again.
        """
        in_flight = await self._redis.hgetall(keys.CANARY)
        if in_flight.get("id"):
            await self._check_arrival(in_flight)
        elif _now_ms() - float(in_flight.get("sentAt", 0)) >= self._settings.canary.interval * 1000:
            await self._send(in_flight)

    async def _check_arrival(self, in_flight: Mapping[str, str]) -> None:
        message_id = in_flight["id"]
        delivery = await find_record(self._redis, message_id)
        if delivery is not None and str(delivery.state) in DELIVERED_STATES:
            await self._redis.hset(keys.CANARY, mapping={"arrivedAt": _now_ms(), "id": ""})
            await self._queue.delete_ended("finished", _now_ms() + 1000, [message_id])
            return
        job = await self._queue.find(message_id)
        failed = job is None or job.state is State.FAILED
        if failed or _now_ms() - float(in_flight.get("sentAt", 0)) > CANARY_GIVE_UP_AFTER_S * 1000:
            await self._redis.hset(keys.CANARY, "id", "")

    async def _send(self, previous: Mapping[str, str]) -> None:
        ttl = max(1000, round(self._settings.canary.interval * 500))
        if not await self._redis.set(keys.CANARY_SENDING, "1", nx=True, px=ttl):
            return
        message = await self._make_message()
        if message is None:
            return
        fields: dict[Any, Any] = {
            "id": message.message_id,
            "sentAt": _now_ms(),
            "since": previous.get("since") or _now_ms(),
        }
        await self._redis.hset(keys.CANARY, mapping=fields)
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


def canary_age_s(fields: Mapping[str, str]) -> float | None:
    """Return the seconds since the last arrival, or since the first canary was sent; None if none was sent.

    Args:
        fields: the hash `msgctl:canary`.
    """
    last = fields.get("arrivedAt") or fields.get("since")
    return max(0.0, (_now_ms() - float(last)) / 1000) if last else None


def _now_ms() -> int:
    return round(time.time() * 1000)
