"""The gateway under load: how long a POST takes while thousands of sockets idle, and what it costs.

`make bench-gateway`. It counts on an idle machine only: the load client says how much of a core it took itself.
"""

import argparse
import asyncio
import os
import resource
import statistics
import sys
import time
from asyncio.subprocess import PIPE, Process
from typing import NamedTuple

import aiohttp
import msgspec
import uvloop

from bench.servers import SECRET, Place, place
from msgctl import agents, notify, tokens
from msgctl.stack.postgres import Postgres

CONVERSATIONS = 500


class Load(NamedTuple):
    """What is put on the gateway."""

    sockets: int
    rate: int
    """POSTs a second."""
    seconds: int


async def main(load: Load) -> None:
    """Start a gateway and its servers, load it, print one line."""
    async with place() as where, Postgres(where.folder / "postgres", durable=False) as postgres:
        gateway = {("gateway", "host"): "127.0.0.1", ("gateway", "port"): 0, ("auth", "jwt_secret"): SECRET}
        where.configure({**gateway, ("postgres", "url"): postgres.url()})
        await agents.migrate(where.settings)
        async with agents.Agents(where.settings) as directory:
            agent = await directory.add(user_id="ana", name="Ana's agent", webhook_path="chat")
        process, url = await _start(where)
        try:
            await _load(process, url, tokens.issue(where.settings, "ana", 3600), agent.id, load)
        finally:
            process.terminate()
            await process.wait()


async def _start(where: Place) -> tuple[Process, str]:
    readiness = notify.Readiness()
    environment = {**where.environment, "NOTIFY_SOCKET": readiness.address, "MSGCTL_LOGS_FORMAT": "json"}
    log = (where.folder / "gateway.log").open("wb")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "daemons.gateway", env=environment, stdin=PIPE, stdout=log, stderr=log
    )
    while True:
        for line in "\n".join(await readiness.hear()).splitlines():
            if line.startswith("STATUS=listening at "):
                readiness.close()
                return process, line.removeprefix("STATUS=listening at ")


async def _load(process: Process, url: str, token: str, agent_id: str, load: Load) -> None:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers={"Authorization": f"Bearer {token}"}) as http:
        opened = [await http.ws_connect(f"{url}/ws/chat?token={token}") for _ in range(load.sockets)]
        await _post(http, url, agent_id, 0)
        before, own = _cpu(process.pid), resource.getrusage(resource.RUSAGE_SELF)
        took = await _paced(http, url, agent_id, load)
        after, own_after = _cpu(process.pid), resource.getrusage(resource.RUSAGE_SELF)
        for socket in opened:
            await socket.close()
    quantiles = statistics.quantiles(took, n=1000)
    spent = own_after.ru_utime + own_after.ru_stime - own.ru_utime - own.ru_stime
    sys.stdout.write(
        f"{load.sockets} sockets, {load.rate} POST/s for {load.seconds} s: p50 {quantiles[499]:.1f} ms, "
        f"p99 {quantiles[989]:.1f} ms, p99.9 {quantiles[998]:.1f} ms; "
        f"gateway {(after - before) / len(took) * 1e6:.0f} us CPU a POST, "
        f"load client {spent / load.seconds:.0%} of a core\n"
    )


async def _paced(http: aiohttp.ClientSession, url: str, agent_id: str, load: Load) -> list[float]:
    """Milliseconds each POST took from the moment it was due, so that a stall is not hidden."""
    begun = time.perf_counter()
    tasks = []
    for number in range(load.rate * load.seconds):
        due = begun + number / load.rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(_timed(http, url, agent_id, number, due)))
    return list(await asyncio.gather(*tasks))


async def _timed(http: aiohttp.ClientSession, url: str, agent_id: str, number: int, due: float) -> float:
    await _post(http, url, agent_id, number)
    return (time.perf_counter() - due) * 1000


async def _post(http: aiohttp.ClientSession, url: str, agent_id: str, number: int) -> None:
    body = {"agentId": agent_id, "message": "a message of a bench", "conversationId": f"c{number % CONVERSATIONS}"}
    data, headers = msgspec.json.encode(body), {"Content-Type": "application/json"}
    async with http.post(f"{url}/api/messages", data=data, headers=headers) as answer:
        if answer.status != 202:
            raise SystemExit(f"The gateway answered {answer.status}: {await answer.text()}")
        await answer.read()


def _cpu(pid: int) -> float:
    """Seconds of CPU a process has used."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:  # noqa: PTH123 - no path to speak of
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sockets", type=int, default=2000)
    parser.add_argument("--rate", type=int, default=500, help="POSTs a second")
    parser.add_argument("--seconds", type=int, default=20)
    options = parser.parse_args()
    uvloop.run(main(Load(options.sockets, options.rate, options.seconds)))
