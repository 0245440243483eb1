"""What a command imports. Counted, never timed: a busy machine changes no number here."""

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
"""Packages that a command which looks at Redis has no use for."""
MOST = 480
"""Modules, the standard library's with them; 430 when this was written, 760 when everything was imported."""
UNASKED = {
    "msgctl.agents",
    "msgctl.delivery",
    "msgctl.intake",
    "msgctl.operations.checks.health",
    "msgctl.operations.messages.search",
}
"""Parts of ours that counting messages has no use for."""
CODE = (
    "import sys; from msgctl.cli.framework.exit import run_invocation as run;"
    "from msgctl.cli.app import make_root;"
    "code = run(make_root(), sys.argv[1:]); print('MODULES', *sys.modules, file=sys.stderr); sys.exit(code)"
)


async def imported(settings: Settings, folder: Path, *arguments: str) -> set[str]:
    """The modules that an invocation had imported when it ended well."""
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
async def test_a_look_at_redis_imports_nothing_else(
    settings: Settings, traffic: Traffic, tmp_path: Path, line: str
) -> None:
    """No PostgreSQL, no web server or client, no metrics, no dashboard; rich only to draw a table."""
    await traffic.failed("dead")
    await traffic.waiting("waits")
    modules = await imported(settings, tmp_path, *line.split())
    assert {name.partition(".")[0] for name in modules} & HEAVY == set()
    assert len(modules) <= MOST


async def test_counting_imports_no_more_of_ours_than_it_needs(settings: Settings, tmp_path: Path) -> None:
    """Nothing of accepting, delivering, finding or judging."""
    assert await imported(settings, tmp_path, "queue", "stats") & UNASKED == set()


async def test_no_search_for_garbage_when_all_is_over(settings: Settings, tmp_path: Path) -> None:
    """What was imported is set apart before Python ends, which would search it all."""
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
