"""The gauges of the whole pipeline, brought up to date from Redis when someone asks for them."""

import asyncio
import time
from typing import Any

import msgspec

from msgctl import contracts
from msgctl.config.settings import Settings
from msgctl.errors import RedisUnavailable
from msgctl.messages import PRIORITIES
from msgctl.metrics import gauges
from msgctl.operations.canary import canary_age
from msgctl.redisdb.client import RedisClient
from msgctl.redisdb.safety import is_durable
from msgctl.rqueue.queue import Queue

FRESH = 1.0
"""Seconds for which an answer of Redis is good enough, should several ask at once."""
PATIENCE = 2.0
"""Seconds Redis has to answer before it counts as down: a scrape waits for this."""
SILENCE = 10_000
"""Milliseconds without a sign of life after which a subscriber or gateway counts as dead."""


class Gauges:
    """Refreshes them.

    Args:
        settings: names Redis in errors.
        redis: a client of `redisdb.connect`.
    """

    def __init__(self, settings: Settings, redis: RedisClient) -> None:
        self._settings = settings
        self._redis = redis
        self._queue = Queue(redis, settings)
        self._refreshed = 0.0

    async def refresh(self) -> None:
        """Ask Redis, unless that was done just now; a Redis that is down is a measurement, not an error."""
        if time.monotonic() - self._refreshed < FRESH:
            return
        self._refreshed = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE):
                await self._measure_redis()
                await self._measure_messages()
                await self._measure_daemons()
                await self._measure_ledger()
        except (RedisUnavailable, TimeoutError):
            gauges.REDIS_UP.set(0)

    async def _measure_redis(self) -> None:
        begun = time.monotonic()
        info = await self._redis.info("memory", "persistence")
        gauges.REDIS_ROUND_TRIP.set(time.monotonic() - begun)
        gauges.REDIS_UP.set(1)
        gauges.REDIS_DURABLE.set(int(is_durable(info)))
        limit = int(info.get("maxmemory", 0))
        gauges.REDIS_MEMORY.set(int(info["used_memory"]) / limit if limit else 0)

    async def _measure_messages(self) -> None:
        for state, count in msgspec.structs.asdict(await self._queue.stats()).items():
            if state != "total":
                gauges.MESSAGES.labels(state).set(count)
        waits = await self._queue.oldest_waits()
        pipeline = self._redis.pipeline(transaction=False)
        for queue in contracts.QUEUES:
            pipeline.llen(contracts.RQ_QUEUE + queue)
            pipeline.zcard(contracts.RQ_DEFERRED + queue)
        counts = await pipeline.execute()
        for priority, queued, deferred in zip(PRIORITIES, counts[::2], counts[1::2], strict=True):
            gauges.WAITING.labels(priority).set(queued + deferred)
            gauges.OLDEST.labels(priority).set(waits.get(priority, 0))

    async def _measure_daemons(self) -> None:
        gauges.WORKERS.set(len(await self._queue.live_workers()))
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.hvals(contracts.SUBSCRIBERS)
        pipeline.hvals(contracts.GATEWAYS)
        pipeline.llen(contracts.RQ_QUEUE + contracts.QUARANTINE)
        pipeline.hvals(contracts.BREAKERS)
        pipeline.zcard(contracts.POSTPONED)
        subscribers, gateways, quarantined, breakers, postponed = await pipeline.execute()
        now = time.time() * 1000
        gauges.SUBSCRIBERS.set(sum(float(beat) > now - SILENCE for beat in subscribers))
        within = max(SILENCE, self._settings.gateway.socket_ttl * 1000)
        gauges.GATEWAYS.set(sum(float(beat) > now - within for beat in gateways))
        gauges.QUARANTINED.set(quarantined)
        gauges.BREAKERS_OPEN.set(sum(float(value.partition(" ")[0]) > now for value in breakers))
        gauges.POSTPONED.set(postponed)

    async def _measure_ledger(self) -> None:
        newest = await self._redis.xrevrange(contracts.EVENTS, count=1)
        projected, lost = await self._redis.mget(contracts.EVENTS_PROJECTED, contracts.EVENTS_LOST)
        canary = await self._redis.hgetall(contracts.CANARY)
        behind = _milliseconds(newest[0][0]) - _milliseconds(projected) if newest and projected else 0
        gauges.LEDGER_LAG.set(max(0, behind) / 1000)
        gauges.EVENTS_LOST.set(int(lost or 0))
        gauges.CANARY_AGE.set(canary_age(canary) or 0)


def _milliseconds(entry: Any) -> int:
    return int(str(entry).partition("-")[0])
