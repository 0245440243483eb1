"""Checks of Redis: does it answer, is it fast, and does it keep its data?"""

import time
from collections.abc import Mapping
from statistics import median
from typing import Any

from msgctl.domain.errors import RedisUnavailable
from msgctl.domain.plural import pluralize
from msgctl.operations.checks.findings import Finding, passed, trouble, warning
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.compatibility import REPLACEMENT, Incompatibility, find_incompatibility
from msgctl.storage.redis.connections import probe_write
from msgctl.storage.redis.durability import MAX_MEMORY_RATIO

PING_COUNT = 20
SLOW_ROUND_TRIP_S = 0.02
"""A median round trip above this number of seconds slows every step down."""
MAX_CLOCK_SKEW_S = 2.0
"""Seconds by which the clocks may differ before times in logs mislead."""


async def check_redis(redis: RedisClient) -> list[Finding]:
    """Check Redis. One that is down is a finding."""
    check = "redis"
    try:
        if incompatibility := await _find_incompatibility(redis):
            return [_describe_kind(incompatibility)]
        info = await redis.info("server", "memory", "persistence", "stats")
        seconds, microseconds = await redis.time()
        delay_s = await _median_round_trip_s(redis)
    except RedisUnavailable as error:
        impact = "Without Redis no message is accepted, processed, or delivered."
        return [
            trouble(
                check,
                "redis_down",
                error.message,
                impact=impact,
                remedy="systemctl status redis; msgctl config show",
            )
        ]
    return [
        _name_version(info),
        *_check_durability(info),
        _check_memory(info),
        _check_clock(seconds + microseconds / 1e6),
        _check_latency(delay_s),
        await _check_writes(redis),
    ]


async def _find_incompatibility(redis: RedisClient) -> Incompatibility | None:
    """Leave a server that refuses writes now to the check of permissions and writes."""
    try:
        return await find_incompatibility(redis)
    except RedisUnavailable:
        return None


async def _median_round_trip_s(redis: RedisClient) -> float:
    delays = []
    for _ in range(PING_COUNT):
        begun = time.perf_counter()
        await redis.time()
        delays.append(time.perf_counter() - begun)
    return median(delays)


def _name_version(info: Mapping[str, Any]) -> Finding:
    name = f"{info.get('server_name', 'redis')} {info.get('valkey_version', info.get('redis_version', '0'))}"
    return passed("redis version", name)


def _describe_kind(found: Incompatibility) -> Finding:
    return trouble(
        "redis version", found.code, found.text, impact="No daemon starts with this server.", remedy=REPLACEMENT
    )


def _check_durability(info: Mapping[str, Any]) -> list[Finding]:
    """Check that Redis neither evicts data nor loses it in a restart."""
    check, impact, findings = "redis keeps messages", "Accepted messages can vanish without a trace.", []
    policy, evicted = info.get("maxmemory_policy", "noeviction"), int(info.get("evicted_keys", 0))
    if policy != "noeviction":
        text = f"maxmemory-policy is {policy}; {pluralize(evicted, 'key')} evicted so far."
        remedy = "msgctl doctor --fix (and in redis.conf: maxmemory-policy noeviction)"
        findings.append(trouble(check, "redis_dropping", text, impact=impact, remedy=remedy, fix="noeviction"))
    if not int(info.get("aof_enabled", 0)):
        remedy = "msgctl doctor --fix (and in redis.conf: appendonly yes)"
        findings.append(
            trouble(check, "redis_dropping", "appendonly is off.", impact=impact, remedy=remedy, fix="appendonly")
        )
    if info.get("aof_last_write_status", "ok") != "ok":
        text = "The append-only file cannot be written. The disk may be full."
        findings.append(trouble(check, "redis_dropping", text, impact=impact, remedy="df -h; journalctl -u redis"))
    return findings or [passed(check, "noeviction, append-only file on and written")]


def _check_memory(info: Mapping[str, Any]) -> Finding:
    used, limit = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if limit and used > MAX_MEMORY_RATIO * limit:
        text = f"{used / limit:.0%} of maxmemory is used."
        impact = "New messages are refused, so that accepted ones can still be processed."
        remedy = "msgctl queue clean --state completed --older-than 1h; or raise maxmemory"
        return trouble("redis memory", "redis_full", text, impact=impact, remedy=remedy)
    return passed("redis memory", f"{used / 1e6:.0f} MB{f' of {limit / 1e6:.0f}' if limit else ', no limit'}")


def _check_clock(redis_time: float) -> Finding:
    skew = abs(redis_time - time.time())
    if skew > MAX_CLOCK_SKEW_S:
        text = f"The clock of Redis differs from the clock of this machine by {skew:.1f} s."
        impact = "Leases are safe because they use the clock of Redis. Times in logs and ages of messages mislead."
        return warning("clock", "clock_skew", text, impact=impact, remedy="timedatectl set-ntp true")
    return passed("clock", f"within {skew * 1000:.0f} ms of the clock of Redis")


def _check_latency(delay_s: float) -> Finding:
    if delay_s > SLOW_ROUND_TRIP_S:
        text = f"A round trip takes {delay_s * 1000:.0f} ms."
        impact = "Every step of every message waits for Redis."
        return warning(
            "redis latency", "redis_slow", text, impact=impact, remedy="redis-cli --latency; redis-cli SLOWLOG GET"
        )
    return passed("redis latency", f"{delay_s * 1000:.1f} ms")


async def _check_writes(redis: RedisClient) -> Finding:
    """Check that Redis takes a write of this user, and that the user may run scripts."""
    try:
        await probe_write(redis)
        await redis.eval("return redis.call('XLEN', KEYS[1])", 1, keys.RESPONSES)
    except RedisUnavailable as refusal:
        impact = "Nothing is accepted, processed, or delivered."
        if refusal.state == "NOPERM":
            remedy = "Compare ACL GETUSER with systemd/redis/users.acl."
            return trouble("redis permissions", "redis_acl", refusal.message, impact=impact, remedy=remedy)
        remedy = "redis-cli INFO replication; redis-cli INFO persistence; journalctl -u redis"
        return trouble("redis writes", "redis_refuses_writes", refusal.message, impact=impact, remedy=remedy)
    return passed("redis permissions", "scripts may run")
