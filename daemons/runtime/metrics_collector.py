"""The gauges of the whole pipeline, refreshed from Redis for each scrape."""

import asyncio
import time
from typing import Any

import msgspec

from msgctl.canary.canary import canary_age_s
from msgctl.config.settings import Settings
from msgctl.domain.messages import PRIORITIES
from msgctl.observability.metrics import pipeline_gauges
from msgctl.queue.queue import Queue
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.durability import is_durable
from msgctl.storage.redis.faults import REDIS_FAULTS

REFRESH_INTERVAL_S = 1.0
"""Seconds for which a refresh serves further scrapes."""
SCRAPE_TIMEOUT_S = 2.0
"""Seconds a refresh may take before Redis counts as down. A scrape waits that long."""
DAEMON_HEARTBEAT_TIMEOUT_MS = 10_000
"""Milliseconds without a heartbeat after which a subscriber or gateway counts as dead."""


class MetricsCollector:
    """Refreshes the gauges.

    Args:
        settings: `gateway.socket_ttl` and the address of Redis for errors.
        redis: a client of `connections.connect`.
    """

    def __init__(self, settings: Settings, redis: RedisClient) -> None:
        self._settings = settings
        self._redis = redis
        self._queue = Queue(redis, settings)
        self._refreshed_at = 0.0

    async def refresh(self) -> None:
        """Refresh the gauges, unless that was done just now. An outage of Redis is a measurement, not an error."""
        if time.monotonic() - self._refreshed_at < REFRESH_INTERVAL_S:
            return
        self._refreshed_at = time.monotonic()
        try:
            async with asyncio.timeout(SCRAPE_TIMEOUT_S):
                await self._measure_redis()
                await self._measure_messages()
                await self._measure_daemons()
                await self._measure_ledger()
        except (*REDIS_FAULTS, TimeoutError):
            pipeline_gauges.REDIS_UP.set(0)

    async def _measure_redis(self) -> None:
        started_at = time.monotonic()
        info = await self._redis.info("memory", "persistence")
        pipeline_gauges.REDIS_ROUND_TRIP.set(time.monotonic() - started_at)
        pipeline_gauges.REDIS_UP.set(1)
        pipeline_gauges.REDIS_DURABLE.set(int(is_durable(info)))
        limit = int(info.get("maxmemory", 0))
        pipeline_gauges.REDIS_MEMORY_RATIO.set(int(info["used_memory"]) / limit if limit else 0)

    async def _measure_messages(self) -> None:
        for state, count in msgspec.structs.asdict(await self._queue.stats()).items():
            if state != "total":
                pipeline_gauges.MESSAGES_BY_STATE.labels(state).set(count)
        waits = await self._queue.oldest_waits()
        pipeline = self._redis.pipeline(transaction=False)
        for queue in keys.QUEUES:
            pipeline.llen(keys.RQ_QUEUE + queue)
            pipeline.zcard(keys.RQ_DEFERRED + queue)
        counts = await pipeline.execute()
        for priority, queued, deferred in zip(PRIORITIES, counts[::2], counts[1::2], strict=True):
            pipeline_gauges.MESSAGES_WAITING.labels(priority).set(queued + deferred)
            pipeline_gauges.OLDEST_WAIT.labels(priority).set(waits.get(priority, 0))

    async def _measure_daemons(self) -> None:
        pipeline_gauges.LIVE_WORKERS.set(len(await self._queue.live_workers()))
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.hvals(keys.SUBSCRIBERS)
        pipeline.hvals(keys.GATEWAYS)
        pipeline.llen(keys.RQ_QUEUE + keys.QUARANTINE)
        pipeline.hvals(keys.BREAKERS)
        pipeline.zcard(keys.POSTPONED)
        subscribers, gateways, quarantined, breakers, postponed = await pipeline.execute()
        now = time.time() * 1000
        pipeline_gauges.LIVE_SUBSCRIBERS.set(
            sum(float(beat) > now - DAEMON_HEARTBEAT_TIMEOUT_MS for beat in subscribers)
        )
        gateway_timeout_ms = max(DAEMON_HEARTBEAT_TIMEOUT_MS, self._settings.gateway.socket_ttl * 1000)
        pipeline_gauges.LIVE_GATEWAYS.set(sum(float(beat) > now - gateway_timeout_ms for beat in gateways))
        pipeline_gauges.MESSAGES_QUARANTINED.set(quarantined)
        pipeline_gauges.BREAKERS_OPEN.set(sum(float(value.partition(" ")[0]) > now for value in breakers))
        pipeline_gauges.DELIVERIES_POSTPONED.set(postponed)

    async def _measure_ledger(self) -> None:
        newest = await self._redis.xrevrange(keys.EVENTS, count=1)
        projected, lost = await self._redis.mget(keys.EVENTS_PROJECTED, keys.EVENTS_LOST)
        canary = await self._redis.hgetall(keys.CANARY)
        lag_ms = _entry_ms(newest[0][0]) - _entry_ms(projected) if newest and projected else 0
        pipeline_gauges.LEDGER_LAG.set(max(0, lag_ms) / 1000)
        pipeline_gauges.LEDGER_EVENTS_LOST.set(int(lost or 0))
        pipeline_gauges.CANARY_AGE.set(canary_age_s(canary) or 0)


def _entry_ms(entry_id: Any) -> int:
    return int(str(entry_id).partition("-")[0])
