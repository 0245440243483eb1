"""The dashboard over a deep queue: what a look costs Redis, how soon the first screen is there, what idling costs.

python -m tools.bench.dash [--jobs 1000000] [--dead 200000]
"""

import argparse
import asyncio
import os
import pty
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from msgctl.ledger.stream import Ledger
from msgctl.operations.channels import Channels
from msgctl.operations.context import Context
from msgctl.operations.dashboard.overview import Overview
from msgctl.operations.dead_letters.groups import DeadLetterGrouper
from msgctl.operations.deliveries import Deliveries
from msgctl.operations.messages.query import Query
from msgctl.operations.messages.search import MessageSearch
from msgctl.queue.queue import Queue
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.connections import connect
from msgctl.storage.redis.lua import compose
from tools.bench import report
from tools.bench.measure import RedisWork, cpu_seconds
from tools.bench.servers import Place, place

BATCH = 2000
FILL = """
local first, last, jobs, now, text, err = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]),
  tonumber(ARGV[4]), ARGV[5], ARGV[6]
for n = first, last do
  local id, queue = string.format('m%08d', n), K.queue .. (n % 10 + 1)
  local status = n >= jobs and 'failed' or n % 2 == 1 and 'finished' or 'queued'
  local ended = now - n % 300
  redis.call('HSET', K.rq_job .. id, 'status', status, 'origin', queue,
    'created_at', '2026-01-01T00:00:00.000000Z',
    K.field_message, text, K.field_user, 'u' .. n % 1000, K.field_channel, 'web', K.field_priority, n % 10 + 1)
  if status == 'queued' then
    redis.call('RPUSH', K.rq_queue .. queue, id)
    redis.call('HSET', K.rq_job .. id, K.field_ready, now * 1000)
  elseif status == 'finished' then
    redis.call('ZADD', K.rq_finished .. queue, ended + 86400, id)
    redis.call('HSET', K.rq_job .. id, K.field_finished, ended * 1000)
  else
    redis.call('ZADD', K.rq_failed .. queue, ended + 2592000, id)
    redis.call('HSET', K.rq_job .. id, K.field_finished, ended * 1000, K.field_error,
      (string.gsub(err, 'NUMBER', n)))
  end
end
"""
LOOKS = 50
TEXT = "x" * 300
"""Stands for a message as JSON; no look reads it."""
IDLE = 20.0
"""Seconds an untouched dashboard is watched."""
ERROR = '{"class":"final","code":"n8n_rejected","text":"n8n answered HTTP 400 for NUMBER."}'


async def fill(redis: RedisClient, jobs: int, dead: int) -> None:
    """Put jobs, half waiting and half completed, and dead letters, by a script: a client would take minutes."""
    seconds, _ = await redis.time()
    script = compose(FILL)
    for start in range(0, jobs + dead, BATCH):
        end = min(start + BATCH, jobs + dead)
        await redis.eval(script, 0, start, end - 1, jobs, seconds, TEXT, ERROR)


async def measure(where: Place, redis: RedisClient) -> list[list[str]]:
    """What one look of each tab costs, the first and those that follow."""
    context = Context(where.settings, redis, Queue(redis, where.settings))
    looks: dict[str, Callable[[], Awaitable[Any]]] = {
        "overview (on every tab)": context.get(Overview).read,
        "dead letters, newest 800": context.get(DeadLetterGrouper).group_newest,
        "messages, no filter": lambda: context.get(MessageSearch).newest(Query(), 200, 600),
        "messages, user:u7": lambda: context.get(MessageSearch).newest(Query(user="u7"), 200, 600),
        "deliveries, newest 200": lambda: context.get(Deliveries).newest(200),
        "channels": context.get(Channels).list,
        "events, newest 200": lambda: Ledger(context.redis).read_newest(200),
    }
    return [[name, *await _time(redis, look)] for name, look in looks.items()]


async def _time(redis: RedisClient, look: Callable[[], Awaitable[Any]]) -> list[str]:
    begun = time.perf_counter()
    await look()
    first = time.perf_counter() - begun
    before, begun = await RedisWork.so_far(redis), time.perf_counter()
    for _ in range(LOOKS):
        await look()
    took = (time.perf_counter() - begun) / LOOKS
    work = await RedisWork.so_far(redis) - before
    return [f"{first * 1000:.1f}", f"{took * 1000:.1f}", f"{work.cpu / LOOKS * 1000:.2f}"]


def watch(where: Place) -> list[list[str]]:
    """Start a real dashboard on a terminal of 120x40: how soon it has drawn, and what it takes from then on."""
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    environ = {**where.environment, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"}
    begun, seen = time.perf_counter(), b""
    process = subprocess.Popen(
        [sys.executable, "-m", "msgctl", "dash"], stdin=theirs, stdout=theirs, stderr=theirs, env=environ
    )
    while b"NOT HEALTHY" not in seen and time.perf_counter() - begun < 30:
        seen += _drain(ours)
        time.sleep(0.005)
    first, work = time.perf_counter() - begun, cpu_seconds(process.pid)
    settled = time.perf_counter() + 3
    while time.perf_counter() < settled:
        _drain(ours)
        time.sleep(0.05)
    before, begun = cpu_seconds(process.pid), time.perf_counter()
    while time.perf_counter() - begun < IDLE:
        _drain(ours)
        time.sleep(0.05)
    share = (cpu_seconds(process.pid) - before) / (time.perf_counter() - begun)
    process.terminate()
    process.wait()
    return [
        ["first screen, s (the program's start included)", f"{first:.2f}"],
        ["its CPU until then, s", f"{work:.2f}"],
        ["idle, % of a core", f"{share:.1%}"],
        ["load of the machine meanwhile (5 min)", f"{os.getloadavg()[1]:.1f} on {os.cpu_count()} cores"],
    ]


def _drain(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except BlockingIOError:
        return b""


async def main(jobs: int, dead: int, write: Path | None) -> None:
    """Fill, measure, print."""
    async with place() as where:
        redis = connect(where.settings)
        await redis.config_set("auto-aof-rewrite-percentage", 0)  # a rewrite would be timed along
        await fill(redis, jobs, dead)
        looks = report.Table(
            f"Looks at {jobs:,} jobs and {dead:,} dead letters",
            ["look", "first, ms", "then, ms", "Redis CPU, ms"],
            await measure(where, redis),
        )
        await redis.aclose()
        itself = report.Table("A dashboard on 120x40", ["what", "measured"], await asyncio.to_thread(watch, where))
        report.publish("Dashboard", "make bench-dash", [looks, itself], write)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--dead", type=int, default=200_000)
    parser.add_argument("--write", type=Path, help="the Markdown file whose section is to be replaced")
    chosen = parser.parse_args()
    asyncio.run(main(chosen.jobs, chosen.dead, chosen.write))
