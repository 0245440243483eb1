"""The modules that a command imports. They are counted, because a busy machine does not change their number."""

import asyncio
import sys
from pathlib import Path

import pytest

from msgctl.config.settings import Settings
from tests.support.messages import Traffic
from tools.support.daemons import PATIENCE, environment

HEAVY = {
    "aiohttp",
    "attr",
    "granian",
    "httpx",
    "jwt",
    "opentelemetry",
    "prometheus_client",
    "psutil",
    "psycopg",
    "psycopg_pool",
    "pygments",
    "requests",
    "rich",
    "rq",
    "starlette",
    "structlog",
    "textual",
    "uvicorn",
    "websockets",
}
"""Packages that a command which only reads Redis does not need."""
MAX_MODULES = 480
"""Maximum number of modules, with the standard library's: 430 at first, 760 if everything is imported."""
UNNEEDED = {
    "msgctl.agents",
    "msgctl.delivery",
    "msgctl.intake",
    "msgctl.operations.checks.health",
    "msgctl.operations.messages.search",
}
"""Our packages that `queue stats` does not need."""
CODE = (
    "import sys; from msgctl.cli.framework.exit import run_invocation as run;"
    "from msgctl.cli.app import make_root;"
    "code = run(make_root(), sys.argv[1:]); print('MODULES', *sys.modules, file=sys.stderr); sys.exit(code)"
)


async def imported_modules(settings: Settings, folder: Path, *arguments: str) -> set[str]:
    """Return the modules that a successful invocation imported."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", CODE, *arguments),
        env=environment(settings),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, stderr = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode == 0, stderr.decode()
    return set(stderr.decode().rpartition("MODULES")[2].split())


@pytest.mark.parametrize(
    "line",
    [
        "queue stats",
        "queue list -o json",
        "dlq list -o json",
        "dlq groups -o json",
        "dlq show dead -o json",
        "message list -o ids",
        "message show dead -o json",
        "message cancel --all --dry-run -o json",
        "worker list -o json",
        "journal list -o json",
        "assert dlq==1 -o json",
    ],
)
async def test_redis_command_imports_no_heavy_package(
    settings: Settings, traffic: Traffic, tmp_path: Path, line: str
) -> None:
    """No PostgreSQL client, web server, HTTP client, metrics, or dashboard."""
    await traffic.failed("dead")
    await traffic.waiting("waits")
    modules = await imported_modules(settings, tmp_path, *line.split())
    assert {name.partition(".")[0] for name in modules} & HEAVY == set()
    assert len(modules) <= MAX_MODULES


async def test_queue_stats_imports_only_needed_modules(settings: Settings, tmp_path: Path) -> None:
    """It imports none of our packages for intake, delivery, search, or health."""
    assert await imported_modules(settings, tmp_path, "queue", "stats") & UNNEEDED == set()


async def test_main_freezes_garbage_before_exit(settings: Settings, tmp_path: Path) -> None:
    """Otherwise Python searches all imported modules for garbage when it ends."""
    shown = "atexit.register(lambda: print(gc.get_freeze_count()))"
    code = f"import atexit, gc; from msgctl.cli import main; {shown}; main()"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", code, "queue", "stats", "-o", "json"),
        env=environment(settings),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
    )
    stdout, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode == 0
    assert int(stdout.splitlines()[-1]) > 10_000
