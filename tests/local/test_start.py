"""`msgctl start`: it becomes the daemon, and hands its options over."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from msgctl.config.settings import Settings
from msgctl.local.supervisor import ports
from tests.support.watching import wait_until, words
from tools.support.daemons import environment

START = [sys.executable, "-m", "msgctl", "start"]


@pytest.mark.parametrize("daemon", ["worker", "subscriber", "gateway"])
def test_it_becomes_the_daemon(settings: Settings, tmp_path: Path, daemon: str) -> None:
    """The process that was started is `python -m daemons.NAME` itself, is ready, and leaves on SIGTERM with 0."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        notices.bind("")
        notices.settimeout(60)
        variables = environment(settings) | {"NOTIFY_SOCKET": "@" + notices.getsockname()[1:].decode()}
        process = subprocess.Popen([*START, daemon], env=variables, stderr=subprocess.DEVNULL, cwd=tmp_path)
        while b"READY=1" not in notices.recv(4096):
            pass
    assert f"daemons.{daemon}" in words(process.pid)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


def test_options_override_the_configuration(settings: Settings, tmp_path: Path) -> None:
    """--host and --port reach the gateway and win over what is configured."""
    port = ports.free_port()
    command = [*START, "gateway", "--host", "127.0.0.1", "--port", str(port)]
    gateway = subprocess.Popen(command, env=environment(settings), stderr=subprocess.DEVNULL, cwd=tmp_path)

    def is_served() -> bool:
        try:
            return requests.get(f"http://127.0.0.1:{port}/healthz", timeout=5).status_code == 200
        except requests.ConnectionError:
            return False

    try:
        wait_until(is_served, "the gateway on the port that was asked for")
    finally:
        gateway.terminate()
        assert gateway.wait(60) == 0


def test_nonsense_is_a_usage_error() -> None:
    """An impossible concurrency is refused before anything starts, with exit code 2."""
    refused = subprocess.run([*START, "worker", "--concurrency", "0"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "concurrency" in refused.stderr
