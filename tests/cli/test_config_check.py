"""`msgctl config check` refuses what a daemon refuses."""

import asyncio
import sys

import pytest

from msgctl.config.settings import Settings
from msgctl.operations.startup import DaemonKind
from tests.support.command_line import Invoke
from tools.support.daemons import environment


async def start(daemon: str, environ: dict[str, str]) -> tuple[int, str]:
    """Start a daemon that is to refuse its settings; its exit code and what it says."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"daemons.{daemon}", env=environ, stderr=asyncio.subprocess.PIPE
    )
    _, stderr = await process.communicate()
    return process.returncode or 0, stderr.decode()


@pytest.mark.parametrize(
    ("variable", "written", "refusing"),
    [
        ("MSGCTL_TWILIO_SENDER", "(415) 523-8886", {"gateway", "subscriber"}),
        ("MSGCTL_TELEGRAM_TOKEN", "hush", {"gateway", "subscriber"}),
        ("MSGCTL_AUTH_JWT_SECRET", "short", {"gateway"}),
        ("MSGCTL_N8N_BASE_URL", "http://h:port", {"gateway", "worker", "subscriber"}),
    ],
)
async def test_config_check_and_every_daemon_agree(
    msgctl: Invoke, settings: Settings, *, variable: str, written: str, refusing: set[str]
) -> None:
    """For each daemon, `--daemon` refuses with its exit code and text; without it, all of them are checked."""
    environ = {variable: written}
    for daemon in DaemonKind:
        checked = await msgctl("config", "check", "--daemon", daemon.value, environ=environ)
        assert checked.code == (78 if daemon in refusing else 0), daemon
        if daemon in refusing:
            code, said = await start(daemon, environment(settings) | environ)
            assert code == 78
            assert said.split(": ", 1)[1].strip() in " ".join(checked.stderr.split())
    everything = await msgctl("config", "check", environ=environ)
    assert everything.code == 78
