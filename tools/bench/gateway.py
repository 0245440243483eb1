"""The gateway under load: how long a POST takes beside idle sockets, what a socket weighs, when a reply is there.

`make bench-gateway`. It counts on an idle machine only: the load client says how much of a core it took itself.
"""

import argparse
import asyncio
import gc
import resource
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import aiohttp
import msgspec
import uvloop
from redis.asyncio import Redis

from msgctl.agents.agents import Agents
from msgctl.auth import tokens
from msgctl.local.servers.postgres import PostgresServer
from msgctl.local.supervisor import ports
from msgctl.local.supervisor.child import Daemon
from msgctl.local.supervisor.supervisor import Supervisor
from msgctl.storage.postgres.migrations import migrate
from tools.bench import idle_sockets, report
from tools.bench.measure import cpu_seconds, quantile
from tools.bench.servers import SECRET, Place, place

CONVERSATIONS = 500
QUANTILES = (0.5, 0.99, 0.999)
NOTE = "From the moment each was due: a stall is not hidden. Replies come by the stream and a subscriber."
GRACE = 20.0
IDLE = 25.0
"""Seconds the sockets idle before they are weighed: longer than it takes to ping each of them once."""


class Bench(NamedTuple):
    """What is measured against."""

    place: Place
    http: aiohttp.ClientSession
    pid: int
    url: str
    subscriber: int


async def main(options: argparse.Namespace) -> None:
    """Start the servers anew for each measurement, and publish what came of them."""
    async with _bench() as bench:
        posts = await _posts(bench, options)
    async with _bench() as bench:
        weight, replies = await _replies(bench, options)
    heading = ["load", "p50 ms", "p99 ms", "p99.9 ms", "gateway CPU us each", "load client, share of a core"]
    tables = [
        report.Table(f"The gateway, {options.seconds} s each", heading, [posts, replies], NOTE),
        report.Table("Idle sockets", ["sockets", "KiB each", "share of a core"], [weight]),
    ]
    report.publish("Gateway", "make bench-gateway", tables, options.write)


@asynccontextmanager
async def _bench() -> AsyncIterator[Bench]:
    async with place() as where, PostgresServer(where.folder / "postgres", durable=False) as postgres:
        port = ports.free_port()
        gateway = {("gateway", "host"): "127.0.0.1", ("gateway", "port"): port, ("auth", "jwt_secret"): SECRET}
        where.configure({**gateway, ("postgres", "url"): postgres.url()})
        await migrate(where.settings)
        daemons = [
            Daemon(f"{name}-1", [f"daemons.{name}"], where.environment, _ignore)
            for name in ("gateway", "subscriber")
        ]
        http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        async with Supervisor(daemons, grace_s=GRACE), http:
            gateway_pid, subscriber_pid = (daemon.pid or 0 for daemon in daemons)
            yield Bench(where, http, gateway_pid, f"http://127.0.0.1:{port}", subscriber_pid)


async def _posts(bench: Bench, options: argparse.Namespace) -> tuple[str, ...]:
    settings = bench.place.settings
    async with Agents(settings) as directory:
        agent = await directory.add(user_id="ana", name="Ana's agent", webhook_path="chat")
    token = tokens.issue(settings, "ana", 3600)
    people = idle_sockets.Crowd(bench.http, bench.place, bench.url)
    async with people.standing(options.sockets):
        await _post(bench, token, agent.id, 0)
        cost = _Cost(bench.pid)
        took = await _paced(bench, token, agent.id, options)
        return _row(f"{options.rate} POST/s beside {options.sockets:,} idle sockets", took, cost)


async def _replies(bench: Bench, options: argparse.Namespace) -> tuple[tuple[str, ...], tuple[str, ...]]:
    people = idle_sockets.Crowd(bench.http, bench.place, bench.url)
    async with idle_sockets.weighed(people, bench.pid, options.idle, seconds=IDLE) as weight:
        idle = f"{weight.sockets:,}", f"{weight.bytes_each / 1024:.1f}", f"{weight.cpu:.1%}"
        async with Redis.from_url(bench.place.valkey.url()) as redis:
            cost = _Cost(bench.pid)
            took = await idle_sockets.reply(people, redis, rate=options.replies, seconds=options.seconds)
        return idle, _row(f"{options.replies:,} replies/s to {weight.sockets:,} sockets", took, cost)


class _Cost:
    """What the gateway and this client spend from now on.

    Args:
        pid: the gateway.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._gateway, self._own, self._begun = cpu_seconds(pid), _own_cpu(), time.perf_counter()

    def cells(self, number: int) -> tuple[str, str]:
        """The CPU of both, for so many pieces of work."""
        seconds = time.perf_counter() - self._begun
        gateway = (cpu_seconds(self._pid) - self._gateway) / number * 1e6
        return f"{gateway:.0f}", f"{(_own_cpu() - self._own) / seconds:.0%}"


def _row(load: str, took: Sequence[float], cost: _Cost) -> tuple[str, ...]:
    return load, *(f"{quantile(took, share):.1f}" for share in QUANTILES), *cost.cells(len(took))


async def _paced(bench: Bench, token: str, agent_id: str, options: argparse.Namespace) -> list[float]:
    """Milliseconds each POST took from the moment it was due, so that a stall is not hidden."""
    begun = time.perf_counter()
    tasks = []
    for number in range(options.rate * options.seconds):
        due = begun + number / options.rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(_timed(bench, token, agent_id, number, due)))
    return list(await asyncio.gather(*tasks))


async def _timed(bench: Bench, token: str, agent_id: str, number: int, due: float) -> float:
    await _post(bench, token, agent_id, number)
    return (time.perf_counter() - due) * 1000


async def _post(bench: Bench, token: str, agent_id: str, number: int) -> None:
    body = {"agentId": agent_id, "message": "a message of a bench", "conversationId": f"c{number % CONVERSATIONS}"}
    data = msgspec.json.encode(body)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    async with bench.http.post(f"{bench.url}/api/messages", data=data, headers=headers) as answer:
        if answer.status != 202:
            raise SystemExit(f"The gateway answered {answer.status}: {await answer.text()}")
        await answer.read()


def _own_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _ignore(_name: str, _line: str) -> None:
    """What the daemons log is not of interest here."""


def _raise_file_limit(sockets: int) -> None:
    """Allow this process and its children as many files as the sockets need."""
    needed = sockets + 1000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if needed > hard:
        raise SystemExit(f"{sockets} sockets need {needed} open files and this user may have {hard}: ulimit -Hn.")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sockets", type=int, default=2000, help="that idle while messages are posted")
    parser.add_argument("--rate", type=int, default=500, help="POSTs a second")
    parser.add_argument("--idle", type=int, default=10_000, help="sockets that are weighed and replied to")
    parser.add_argument("--replies", type=int, default=1000, help="a second")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--write", type=Path, help="the Markdown file whose section is to be replaced")
    arguments = parser.parse_args()
    gc.disable()  # this client's thousands of sockets would stop it for half a second, and that would be measured
    _raise_file_limit(max(arguments.sockets, arguments.idle))
    uvloop.run(main(arguments))
