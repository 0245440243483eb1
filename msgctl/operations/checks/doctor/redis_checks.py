"""Redis under the doctor's eyes: does it answer, soon, and keep what it takes?"""

import time
from collections.abc import Mapping
from statistics import median
from typing import Any

from redis.exceptions import NoPermissionError

from msgctl.domain.errors import RedisUnavailable
from msgctl.domain.plural import pluralize
from msgctl.operations.checks.doctor.finding import Finding, fine, trouble, warning
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.durability import MAX_MEMORY_RATIO

PING_COUNT = 20
SLOW_ROUND_TRIP_S = 0.02
"""Seconds of a median round trip above which everything waits for Redis."""
MAX_CLOCK_SKEW_S = 2.0
"""Seconds by which clocks may differ before times in logs mislead."""
MIN_REDIS_VERSION = (6, 2)


async def check_redis(redis: RedisClient) -> list[Finding]:
    """Look at Redis; one that is down is a finding."""
    check = "redis"
    try:
        info = await redis.info("server", "memory", "persistence", "stats")
        seconds, microseconds = await redis.time()
        delay = await _median_round_trip_s(redis)
    except RedisUnavailable as error:
        why = "Nothing is accepted, worked or delivered without it."
        return [
            trouble(check, "redis_down", error.message, why=why, mend="systemctl status redis; msgctl config show")
        ]
    return [
        _check_version(info),
        *_check_durability(info),
        _check_memory(info),
        _check_clock(seconds + microseconds / 1e6),
        _check_latency(delay),
        await _check_permissions(redis),
    ]


async def _median_round_trip_s(redis: RedisClient) -> float:
    delays = []
    for _ in range(PING_COUNT):
        begun = time.perf_counter()
        await redis.time()
        delays.append(time.perf_counter() - begun)
    return median(delays)


def _check_version(info: Mapping[str, Any]) -> Finding:
    version = str(info.get("redis_version", "0"))
    if tuple(int(part) for part in version.split(".")[:2] if part.isdecimal()) < MIN_REDIS_VERSION:
        why = "msgctl uses commands that came with 6.2."
        return trouble(
            "redis version", "redis_old", f"It is {version}.", why=why, mend="Install Redis 7 or Valkey."
        )
    return fine("redis version", f"{info.get('server_name', 'redis')} {info.get('valkey_version', version)}")


def _check_durability(info: Mapping[str, Any]) -> list[Finding]:
    """Whether Redis may drop what it accepted."""
    check, why, found = "redis keeps messages", "Accepted messages vanish without a trace.", []
    policy, evicted = info.get("maxmemory_policy", "noeviction"), int(info.get("evicted_keys", 0))
    if policy != "noeviction":
        what = f"maxmemory-policy is {policy}; {pluralize(evicted, 'key')} evicted so far."
        mend = "msgctl doctor --fix (and in redis.conf: maxmemory-policy noeviction)"
        found.append(trouble(check, "redis_dropping", what, why=why, mend=mend, fix="noeviction"))
    if not int(info.get("aof_enabled", 0)):
        mend = "msgctl doctor --fix (and in redis.conf: appendonly yes)"
        found.append(trouble(check, "redis_dropping", "appendonly is off.", why=why, mend=mend, fix="appendonly"))
    if info.get("aof_last_write_status", "ok") != "ok":
        what = "Its append-only file cannot be written; the disk may be full."
        found.append(trouble(check, "redis_dropping", what, why=why, mend="df -h; journalctl -u redis"))
    return found or [fine(check, "noeviction, append-only file on and written")]


def _check_memory(info: Mapping[str, Any]) -> Finding:
    used, limit = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if limit and used > MAX_MEMORY_RATIO * limit:
        what = f"{used / limit:.0%} of maxmemory is used."
        why = "Nothing new is accepted, so that what was accepted can still be worked."
        mend = "msgctl queue clean --state completed --older-than 1h; or raise maxmemory"
        return trouble("redis memory", "redis_full", what, why=why, mend=mend)
    return fine("redis memory", f"{used / 1e6:.0f} MB{f' of {limit / 1e6:.0f}' if limit else ', no limit'}")


def _check_clock(theirs: float) -> Finding:
    skew = abs(theirs - time.time())
    if skew > MAX_CLOCK_SKEW_S:
        what = f"Redis's clock differs from this machine's by {skew:.1f} s."
        why = "Leases are safe, they use Redis's clock; times in logs and ages of messages mislead."
        return warning("clock", "clock_skew", what, why=why, mend="timedatectl set-ntp true")
    return fine("clock", f"within {skew * 1000:.0f} ms of Redis's")


def _check_latency(delay: float) -> Finding:
    if delay > SLOW_ROUND_TRIP_S:
        what = f"A round trip takes {delay * 1000:.0f} ms."
        why = "Every step of every message waits for it."
        return warning(
            "redis latency", "redis_slow", what, why=why, mend="redis-cli --latency; redis-cli SLOWLOG GET"
        )
    return fine("redis latency", f"{delay * 1000:.1f} ms")


async def _check_permissions(redis: RedisClient) -> Finding:
    try:
        await redis.eval("return redis.call('XLEN', KEYS[1])", 1, "-")
    except NoPermissionError as error:
        why = "Every step of the pipeline is a script."
        mend = "ACL SETUSER … ~* &* +@all -@dangerous +info +keys"
        return trouble("redis permissions", "redis_acl", str(error), why=why, mend=mend)
    return fine("redis permissions", "scripts may run")
