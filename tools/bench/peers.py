"""Reference pipelines of the same contract (Bull and BullMQ in Node, stock RQ), if a folder of them is named.

They are copied, and what they need is installed beside the copy; nothing of them is part of this project.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

CACHE = Path("var/bench/peers")
NODE_PACKAGES = [
    "bull@4.16.5",
    "bullmq@6.7.0",
    "ioredis@5",
    "fastify",
    "express",
    "ws",
    "pg",
    "jsonwebtoken",
    "undici@7",
]
PYTHON_PACKAGES = [
    "rq==3.0.0",
    "fastapi",
    "uvicorn[standard]",
    "requests",
    "psycopg[binary,pool]",
    "pyjwt",
    "redis[hiredis]",
]
PORT = 13000
BASE = f"http://127.0.0.1:{PORT}"


class Process(msgspec.Struct, frozen=True):
    """One process of a peer."""

    part: str
    """What its CPU is shown under."""
    words: Sequence[str | Path]
    folder: Path
    environment: Mapping[str, str]


def prepare(source: Path | None) -> Path | None:
    """Copy the peers and install what they need, once; None, and the reason said, if they cannot run."""
    if source is None or not (source / "loadgen/loadgen.js").is_file():
        sys.stderr.write(
            "No reference pipelines: name their folder, `make bench PEERS=folder`. Ours runs alone.\n"
        )
        return None
    if shutil.which("node") is None or shutil.which("npm") is None:
        sys.stderr.write("No reference pipelines: they need Node 20 with npm. Ours runs alone.\n")
        return None
    if not (CACHE / "complete").exists():
        sys.stderr.write(f"Installing the reference pipelines into {CACHE} ...\n")
        shutil.copytree(source, CACHE, dirs_exist_ok=True)
        _run("npm", "install", "--legacy-peer-deps", "--silent", "--no-audit", "--no-fund", *NODE_PACKAGES)
        _run(sys.executable, "-m", "venv", "venv")
        _run("venv/bin/pip", "install", "--quiet", *PYTHON_PACKAGES)
        (CACHE / "complete").touch()
    return CACHE.absolute()


def processes(name: str, folder: Path, environment: Mapping[str, str], concurrency: int) -> list[Process]:
    """What to run for a peer.

    Args:
        name: a name in `PEERS`.
        folder: of `prepare`.
        environment: REDIS_PORT, PG_URL, N8N_BASE_URL, JWT_SECRET and the shell's.
        concurrency: jobs at once.
    """
    common = {**environment, "PORT": str(PORT), "CONCURRENCY": str(concurrency)}
    return PEERS[name](folder, common, concurrency)


def _node(library: str, *roles: str) -> "Plan":
    def plan(folder: Path, environment: Mapping[str, str], _: int) -> list[Process]:
        server = folder / f"{library}-ref/server.js"
        return [Process(role, ["node", server], folder, {**environment, "ROLE": role}) for role in roles]

    return plan


def _rq(folder: Path, environment: Mapping[str, str], concurrency: int) -> list[Process]:
    programs, home = folder / "venv/bin", folder / "rq-ref"
    api: list[str | Path] = [programs / "uvicorn", "gateway:app", "--host", "127.0.0.1", "--port", str(PORT)]
    pool: list[str | Path] = [programs / "rq", "worker-pool", "-n", str(concurrency), "-c", "settings"]
    return [
        Process("api", [*api, "--no-access-log", "--log-level", "warning"], home, environment),
        Process("worker", [*pool, "-l", "WARNING", "-w", "rq.SimpleWorker"], home, environment),
    ]


Plan = Callable[[Path, Mapping[str, str], int], list[Process]]
PEERS: dict[str, Plan] = {
    "bull, 1 process": _node("bull", "all"),
    "bull, 2 processes": _node("bull", "api", "worker"),
    "bullmq, 1 process": _node("bullmq", "all"),
    "rq SimpleWorker": _rq,
}


def _run(*words: str) -> None:
    subprocess.run(words, cwd=CACHE, check=True)  # noqa: S603 - fixed words
