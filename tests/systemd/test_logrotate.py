"""The log files beside the journal: logrotate moves them by the example, and daemons go on in new ones."""

import asyncio
import getpass
import grp
import os
import shutil
from pathlib import Path

import pytest

from msgctl.config.settings import Settings
from msgctl.queue.queue import Queue
from msgctl.storage.redis.client import RedisClient
from tests.support.paths import SYSTEMD
from tests.support.valkey_server import message
from tools.support.daemons import Daemon, until

LOGROTATE = shutil.which("logrotate") or shutil.which("logrotate", path="/usr/sbin")
LINE = '"messageId":"m-1"'


@pytest.mark.skipif(LOGROTATE is None, reason="logrotate is not installed: apt-get install logrotate")
async def test_a_daemon_goes_on_in_a_new_file(tmp_path: Path, settings: Settings, redis: RedisClient) -> None:
    """What was logged lies in the moved file, what comes lies in the new one, and nobody sent a signal."""
    folder = tmp_path / "logs"
    files = settings.logs.model_copy(update={"directory": str(folder)})
    combined, moved = folder / "combined.log", folder / "combined.log.1"
    async with Daemon("worker", settings.model_copy(update={"logs": files})):
        await until(lambda: "Worker ready" in combined.read_text("utf-8"), "the first line")
        await rotate(folder, tmp_path)
        assert "Worker ready" in moved.read_text("utf-8")
        await Queue(redis, settings).enqueue(message(1), digest=message(1).digest())
        await until(lambda: LINE in combined.read_text("utf-8"), "a line in the new file")
        assert LINE not in moved.read_text("utf-8")
    assert "Worker ready" not in combined.read_text("utf-8")
    assert LINE in (folder / "error.log").read_text("utf-8")  # its agent does not exist


async def rotate(folder: Path, place: Path) -> None:
    """Run the example on this folder, as the user who runs the test."""
    text = (SYSTEMD / "msgctl.logrotate").read_text("utf-8")
    me, mine = getpass.getuser(), grp.getgrgid(os.getgid()).gr_name
    for old, new in (("/var/log/msgctl", str(folder)), ("su msgctl msgctl", f"su {me} {mine}")):
        assert old in text
        text = text.replace(old, new)
    configuration = place / "logrotate.conf"
    configuration.write_text(text.replace("0640 msgctl msgctl", f"0640 {me} {mine}"), "utf-8")
    configuration.chmod(0o644)
    process = await asyncio.create_subprocess_exec(
        *(str(LOGROTATE), "--force", "--state", str(place / "state"), str(configuration)),
        stderr=asyncio.subprocess.PIPE,
    )
    _, error = await process.communicate()
    assert process.returncode == 0, error.decode()
