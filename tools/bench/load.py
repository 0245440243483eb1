"""The load: sockets that send messages over REST and wait for each answer, in a process of its own.

With the peers' folder it is their load client in Node, which costs a third of ours; without it,
`tools.bench.client`.
"""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import msgspec

from tools.bench.servers import SECRET

SOCKETS = 50
AGENTS = 100
GIVING_UP = 30
"""Seconds without an answer."""


class Quantiles(msgspec.Struct, frozen=True):
    """Milliseconds."""

    p50: float
    p99: float


class Outcome(msgspec.Struct, frozen=True):
    """What the load client saw."""

    received: int
    lost: int
    duplicates: int
    throughput: float
    """Answers a second, from the first send to the last answer."""
    overhead_ms: Quantiles
    """From the send to the answer, without n8n's own time."""
    post_ms: Quantiles


async def run_load(
    base: str, peers: Path | None, *, count: int, delay: int, inflight: int = 0, rate: float = 0
) -> Outcome:
    """Send messages and wait for their answers.

    Args:
        base: URL of the API.
        peers: the folder with the Node client; None uses our own.
        count: messages.
        delay: milliseconds n8n takes.
        inflight: how many are under way at a time (saturation) ...
        rate: ... or how many are sent a second (paced).
    """
    client = ["node", str(peers / "loadgen/loadgen.js")] if peers else [sys.executable, "-m", "tools.bench.client"]
    pace = ["--mode", "closed", "--inflight", inflight] if inflight else ["--mode", "open", "--rate", rate]
    # A socket is a conversation, and ours answers one message of a conversation at a time, which a peer does not:
    # with fewer conversations than messages under way, the load and not the pipeline would set the pace.
    sockets = max(SOCKETS, inflight)
    options = ["--messages", count, "--stub-ms", delay, "--sockets", sockets, "--timeout", GIVING_UP, *pace]
    process = await asyncio.create_subprocess_exec(
        *(*client, "--base", base, "--secret", SECRET, *map(str, options)), stdout=PIPE, env=dict(os.environ)
    )
    try:
        written, _ = await process.communicate()
    finally:
        if process.returncode is None:  # given up
            process.kill()
    if process.returncode:
        raise SystemExit("The load client failed; its error is above.")
    return msgspec.json.decode(written.splitlines()[-1], type=Outcome)
