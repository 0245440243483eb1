"""The search for secrets in the suite's output can fail: each kind of leak, by each way out, ends in an error."""

import subprocess
import sys
from pathlib import Path

import pytest
from redis import Redis

from msgctl.auth.tokens import issue
from msgctl.config.settings import Settings
from tests.support.messages import Traffic, traffic
from tests.support.paths import ROOT
from tests.support.secret_scan import API_KEY, BOT_TOKEN, CALLBACK_SECRET, JWT_SECRET, SEARCH, Search
from tools.support.daemons import Daemon

__all__ = ["traffic"]

LEAKING = """
import logging, sys, pytest
from tests.support.secret_scan import SEARCH, pytest_runtest_makereport

def test_prints(): print("the key is {secret}")
def test_logs(): logging.warning("the key is {secret}")
def test_writes(): sys.stderr.write("the key is {secret}")

@pytest.fixture
def late():
    yield
    SEARCH.hear("a daemon that ends with its fixture", "the key is {secret}")

def test_daemon(late): pass
def test_is_innocent(): print("nothing of interest, and of no test before this one")
"""


def test_a_leak_ends_a_run(tmp_path: Path) -> None:
    """Printed, logged, written or said by a daemon: four errors, none of a neighbour; the secret is not told."""
    (tmp_path / "conftest.py").write_text("from tests.support.secret_scan import pytest_runtest_makereport\n")
    (tmp_path / "test_leaks.py").write_text(LEAKING.format(secret=API_KEY))
    pytest_alone = [sys.executable, "-m", "pytest", "-p", "no:randomly", "-c", "/dev/null", "--show-capture=no"]
    done = subprocess.run(
        [*pytest_alone, "-q", "--rootdir", str(tmp_path), str(tmp_path)],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "5 passed, 4 errors" in done.stdout, done.stdout
    assert done.stdout.count("a configured secret") == 4
    assert API_KEY not in done.stdout


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (JWT_SECRET, "a configured secret"),
        (CALLBACK_SECRET, "a configured secret"),
        (f"https://api.telegram.org/bot{BOT_TOKEN}/sendMessage", "a configured secret"),
        ("https://api.telegram.org/bot999999:whatever/sendMessage", "a bot's token"),
        ("postgresql://msgctl:hush@127.0.0.1:5432/msgctl", "a password in a URL"),
        ("GET /ws/chat?token=abcdefghijkl", "a token in a query"),
        ("sent to +5511987654321", "a phone number"),
    ],
)
def test_each_kind_is_known(text: str, kind: str) -> None:
    """By its value or by its shape."""
    search = Search()
    search.hear("a log", f"one line\nbefore {text} after\nanother line")
    assert any(kind in leak and "one line" not in leak for leak in search.leaks())


async def test_a_customers_words_are_known_whatever_they_are(traffic: Traffic, settings: Settings) -> None:
    """The texts are taken from the test's own Redis, the agent's too; a part of a word is none of them."""
    await traffic.completed("m", "words of an agent")
    search = Search()
    search.learn(_client(settings))
    for text in ("he said hello to us", '{"event": "words of an agent"}'):
        search.hear("a log", text)
    search.hear("a log", "an innocent hello-world")
    assert [leak.partition(":")[0] for leak in search.leaks()] == ["a log", "a log"]


async def test_a_daemon_is_heard(settings: Settings) -> None:
    """What a daemon writes is searched with the rest, and it is innocent."""
    token = issue(settings, "ana", 60)
    async with Daemon("worker", settings, extra={"MSGCTL_LOGS_LEVEL": "debug"}) as daemon:
        pass
    assert ("daemons.worker", daemon.output, False) in SEARCH.heard
    search = Search()
    search.hear("a daemon", f"{daemon.output} {token}")
    assert len(search.leaks()) == 1


def _client(settings: Settings) -> Redis:
    found = settings.redis
    return Redis(
        host=found.host,
        port=found.port,
        db=found.database,
        password=found.password.get_secret_value(),
        decode_responses=True,
    )
