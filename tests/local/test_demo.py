"""`msgctl demo`: every message is answered, each step is shown, and nothing is left, whenever it is stopped."""

import os
import random
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from msgctl.domain.steps import STEPS
from tests.support.watching import children, is_alive, wait_until

DEMO = [sys.executable, "-m", "msgctl", "demo"]


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    """An environment whose temporary folder is the test's own, and so shows what is left in it."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    return os.environ | {"TMPDIR": str(folder), "COLUMNS": "200"}


def leftovers(variables: Mapping[str, str]) -> list[Path]:
    """What is left in the temporary folder."""
    return list(Path(variables["TMPDIR"]).iterdir())


def test_everything_is_answered_and_nothing_is_left(variables: dict[str, str]) -> None:
    """Every message on every channel goes through all six steps in order; exit 0, no file is left."""
    begun = time.monotonic()
    shown = subprocess.run(DEMO, env=variables, capture_output=True, text=True, check=False, timeout=120)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert time.monotonic() - begun < 60
    steps: dict[str, list[int]] = {}
    for message_id, progress in re.findall(r"^\S+\s+([0-9a-f]{8})\s+(\d+) %", shown.stdout, re.MULTILINE):
        steps.setdefault(message_id, []).append(int(progress))
    assert len(steps) == 7
    assert all(progress == [step.progress for step in STEPS] for progress in steps.values())
    for channel in ("REST", "WebSocket", "whatsapp", "telegram", "api"):
        assert re.search(rf"^{channel}\s+\S+\s+answered after \d+ ms", shown.stdout, re.MULTILINE)
    assert "I remember 4 turns" in shown.stdout
    assert "median reply" in shown.stdout
    assert shown.stderr == ""
    assert leftovers(variables) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_signal_at_any_moment_leaves_nothing(
    variables: dict[str, str], fraction: float, number: signal.Signals
) -> None:
    """Wherever the demo is when it is interrupted, it leaves no process and no folder."""
    demo = subprocess.Popen(
        DEMO, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    time.sleep(4 * random.uniform(fraction - 0.1, fraction + 0.1))
    started = children(demo.pid)
    demo.send_signal(number)
    _, errors = demo.communicate(timeout=60)
    assert demo.returncode in {0, 130, -number}, errors
    wait_until(lambda: not any(is_alive(pid) for pid in started), "all processes to end")
    assert leftovers(variables) == []


def test_keep_gives_a_curl_line_that_works(variables: dict[str, str]) -> None:
    """With --keep it stays up, the printed line sends a message when pasted, and Ctrl-C ends it with 0."""
    demo = subprocess.Popen([*DEMO, "--keep"], env=variables, stdout=subprocess.PIPE, text=True)
    assert demo.stdout
    with demo.stdout:
        printed = ""
        while not (line := demo.stdout.readline()).startswith("curl "):
            assert line, printed
            printed += line
        answer = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True).stdout
        assert '"status":"processing"' in answer
        assert re.search(r"^URL +http://127\.0\.0\.1:\d+$", printed, re.MULTILINE)
        config = re.search(r"^config +(\S+)$", printed, re.MULTILINE)
        assert config
        stats = [sys.executable, "-m", "msgctl", "--config", shlex.quote(config[1]), "queue", "stats"]
        subprocess.run(stats, check=True, capture_output=True)
        demo.send_signal(signal.SIGINT)
        assert demo.wait(60) == 0
    assert leftovers(variables) == []


def test_a_missing_reply_is_told(variables: dict[str, str]) -> None:
    """An n8n stand-in that hangs makes the demo fail with the messages that were not answered."""
    script = (
        "from msgctl.local.demo import demo; demo.REPLIES_TIMEOUT_S = 1.0; demo.N8N_DELAY_MS = 60_000\n"
        "from msgctl.cli import main; import sys; sys.argv = ['msgctl', 'demo']; main()"
    )
    variables = variables | {"MSGCTL_WORKER_DRAIN": "0.5"}
    shown = subprocess.run(
        [sys.executable, "-c", script], env=variables, capture_output=True, text=True, check=False, timeout=120
    )
    assert shown.returncode == 1
    assert "7 replies did not arrive within 1 s: REST" in shown.stderr
    assert leftovers(variables) == []
