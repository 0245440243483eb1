"""`msgctl up`: one line when ready, a pipeline that works, daemons that come back, data that stay."""

import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
import requests

from msgctl.config.settings import Settings
from msgctl.local.servers.valkey import ValkeyServer
from msgctl.local.supervisor import ports
from tests.support.secret_scan import SEARCH
from tests.support.watching import children, is_alive, wait_until, words
from tools.support.daemons import environment

MSGCTL = [sys.executable, "-m", "msgctl"]
"""The command line, under the interpreter that runs the tests."""


class Up:
    """A running `msgctl up -o json`.

    Args:
        folder: its data folder; standard error goes to a file in it.
        arguments: further arguments.
        variables: its environment; None is ours.
    """

    def __init__(self, folder: Path, *arguments: str, variables: Mapping[str, str] | None = None) -> None:
        folder.mkdir(exist_ok=True)
        self.errors = folder / "stderr"
        with self.errors.open("w") as stderr:
            self.process = subprocess.Popen(
                [*MSGCTL, "up", "--data-dir", str(folder), "-o", "json", *arguments],
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env=variables,
            )
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, self.errors.read_text()
        self.told: dict[str, Any] = json.loads(line)

    def msgctl(self, *arguments: str) -> str:
        """Run a command on this pipeline, as a person in another shell would."""
        command = [*MSGCTL, "--config", self.told["config"], *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd="/").stdout.strip()

    def stop(self) -> str:
        """End it in order; return what else it wrote on standard output."""
        assert self.process.stdout
        with self.process.stdout:
            if self.process.poll() is None:
                self.process.terminate()
            rest = self.process.stdout.read()
        assert self.process.wait(60) == 0, self.errors.read_text()
        for file in (self.errors, *self.errors.parent.rglob("*.log")):
            SEARCH.hear(f"{file.name} of `msgctl up`", file.read_text("utf-8"))
        return rest


@contextmanager
def running(folder: Path, *arguments: str, variables: Mapping[str, str] | None = None) -> Iterator[Up]:
    """`msgctl up` for as long as the context is open."""
    up = Up(folder, *arguments, variables=variables)
    try:
        yield up
    finally:
        up.stop()


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """An embedded pipeline with two gateways, for all tests of this file that leave it as it is."""
    with running(tmp_path_factory.mktemp("up"), "--embedded", "--port", "0", "--gateways", "2") as pipeline:
        yield pipeline


@pytest.fixture(scope="module")
def agent(up: Up) -> str:
    """An agent of user `ana`."""
    return up.msgctl("agent", "add", "--user", "ana", "--name", "Echo", "--webhook", "echo")


@pytest.fixture(scope="module")
def authorization(up: Up) -> dict[str, str]:
    """The header of user `ana`."""
    return {"Authorization": f"Bearer {up.msgctl('token', 'issue', '--user', 'ana')}"}


def test_it_tells_where_everything_is(up: Up) -> None:
    """One line names gateway, config, servers, n8n and process ids, and each of them answers."""
    told = up.told
    assert list(told) == ["gateway", "config", "redis", "postgres", "n8n", "metrics", "pids"]
    assert {kind: len(pids) for kind, pids in told["pids"].items()} == {"worker": 1, "subscriber": 1, "gateway": 2}
    assert requests.get(f"{told['gateway']}/readyz", timeout=10).status_code == 200
    assert sorted(told["metrics"]) == ["gateway-1", "gateway-2", "subscriber-1", "worker-1"]
    for address in told["metrics"].values():
        assert "msgctl_workers" in requests.get(f"http://{address}/metrics", timeout=10).text
    with redis.Redis.from_url(told["redis"]) as client:
        assert client.info("memory")["maxmemory_policy"] == "noeviction"
    with psycopg.connect(told["postgres"]) as connection:
        assert connection.execute("SELECT count(*) FROM agents").fetchone() is not None


def test_the_config_is_private_and_enough(up: Up, agent: str) -> None:
    """The written file has mode 0600 and lets any command work on the pipeline."""
    file = Path(up.told["config"])
    assert file.is_absolute()
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(tomllib.loads(file.read_text())["auth"]["jwt_secret"]) >= 32
    assert re.fullmatch(r"[0-9a-f-]{36}", agent)


def test_a_message_goes_all_the_way(up: Up, agent: str, authorization: dict[str, str]) -> None:
    """A message by REST is worked by the stand-in and completed, and its steps are in the log file."""
    body = {"agentId": agent, "message": "Hello"}
    answer = requests.post(f"{up.told['gateway']}/api/messages", json=body, headers=authorization, timeout=10)
    assert answer.status_code == 202
    message_id = answer.json()["data"]["messageId"]
    url = f"{up.told['gateway']}/api/messages/{message_id}/status"

    def is_completed() -> bool:
        status = requests.get(url, headers=authorization, timeout=10).json()
        return bool(status["data"]["state"] == "completed")

    wait_until(is_completed, "the message to be completed")
    assert message_id in (Path(up.told["config"]).parent / "logs" / "combined.log").read_text()


@pytest.mark.parametrize("kind", ["worker", "gateway"])
def test_a_killed_daemon_comes_back_and_no_connection_is_refused(
    up: Up, authorization: dict[str, str], kind: str
) -> None:
    """After kill -9 of every process of a kind the pipeline is whole again; the port never refuses anybody."""
    killed = _pids(up, kind)
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    health = f"{up.told['gateway']}/api/messages/queue/health"
    assert requests.get(health, headers=authorization, timeout=20).status_code in {200, 503}
    wait_until(lambda: len(set(_pids(up, kind)) - set(killed)) == len(killed), f"the {kind} to be started again")
    wait_until(lambda: all(map(_answers, up.told["metrics"].values())), "each daemon to be ready again")


def test_a_second_one_on_the_same_folder_is_refused(up: Up) -> None:
    """Two pipelines never write the same data: exit 78 and the reason, and the first one lives on."""
    folder = Path(up.told["config"]).parent
    second = subprocess.run(
        [*MSGCTL, "up", "--embedded", "--data-dir", str(folder)], capture_output=True, text=True, check=False
    )
    assert second.returncode == 78
    assert second.stderr.splitlines()[-1].startswith(f"msgctl: {folder} is in use by another msgctl.")
    assert requests.get(f"{up.told['gateway']}/healthz", timeout=10).status_code == 200


def test_data_ports_secrets_and_own_settings_survive_a_restart(tmp_path: Path) -> None:
    """The second run has the agents, addresses, tokens and edits of the first."""
    folder = tmp_path / "data"
    first = Up(folder, "--embedded", "--port", "0")
    first.msgctl("agent", "add", "--user", "ana", "--name", "Kept", "--webhook", "echo")
    token = first.msgctl("token", "issue", "--user", "ana")
    assert first.stop() == ""
    file = Path(first.told["config"])
    file.write_text(f"# mine\n{file.read_text()}\n[worker]\nconcurrency = 3\n")
    with running(folder, "--embedded", "--gateways", "2") as second:
        for told in (first.told, second.told):
            del told["pids"], told["metrics"]
        assert second.told == first.told
        assert file.read_text().startswith("# mine\n")
        assert tomllib.loads(file.read_text())["worker"]["concurrency"] == 3
        assert "Kept" in second.msgctl("agent", "list")
        stats = f"{second.told['gateway']}/api/messages/queue/stats"
        answer = requests.get(stats, headers={"Authorization": f"Bearer {token}"}, timeout=10)
        assert answer.status_code == 200


def test_a_second_signal_hands_back_what_runs(tmp_path: Path) -> None:
    """SIGTERM waits for a message in work; a second one ends it at once, and the next run has the message."""
    up = Up(tmp_path / "data", "--embedded", "--port", "0")
    agent = up.msgctl("agent", "add", "--user", "ana", "--name", "Echo", "--webhook", "echo")
    headers = {"Authorization": f"Bearer {up.msgctl('token', 'issue', '--user', 'ana')}"}
    requests.post(f"{up.told['n8n']}/__control", json={"mode": "hang"}, timeout=10)
    messages = f"{up.told['gateway']}/api/messages"
    body = {"agentId": agent, "message": "Hello", "messageId": "m1"}
    assert requests.post(messages, json=body, headers=headers, timeout=10).status_code == 202
    wait_until(lambda: _state(messages, headers) == "active", "the message to be in work")
    worker = _pids(up, "worker")[0]
    up.process.terminate()
    wait_until(lambda: _pids(up, "gateway") == [], "the idle daemons to leave")
    assert is_alive(worker)
    up.process.terminate()
    up.stop()
    with running(tmp_path / "data", "--embedded") as second:
        assert second.told["gateway"] == up.told["gateway"]
        wait_until(lambda: _state(messages, headers) == "completed", "the message to be completed")


def _state(messages: str, headers: dict[str, str]) -> str:
    answer = requests.get(f"{messages}/m1/status", headers=headers, timeout=10)
    return str(answer.json()["data"]["state"])


def test_killing_it_leaves_no_process(tmp_path: Path) -> None:
    """SIGKILL of the supervisor takes daemons, stand-in and servers along, and the next run starts."""
    first = Up(tmp_path / "data", "--embedded", "--port", "0")
    session = children(first.process.pid)
    assert len(session) >= 6
    first.process.kill()
    first.process.wait()
    assert first.process.stdout
    first.process.stdout.close()
    wait_until(lambda: not [pid for pid in session if is_alive(pid)], "all processes to be gone")
    with running(tmp_path / "data", "--embedded") as second:
        assert second.told["gateway"] == first.told["gateway"]


def test_servers_of_ones_own(settings: Settings, tmp_path: Path) -> None:
    """Without --embedded the configured Redis, PostgreSQL and n8n are used, and the file written says so."""
    with running(tmp_path / "data", "--port", "0", variables=environment(settings)) as up:
        assert up.told["n8n"] == settings.n8n.base_url
        assert up.told["postgres"] == settings.postgres.url.get_secret_value()
        assert up.told["redis"].endswith(f":{settings.redis.port}/{settings.redis.database}")
        assert "[]" not in up.msgctl("queue", "stats", "-o", "json")


def test_an_unusable_redis_is_one_line_and_its_exit_code(settings: Settings, tmp_path: Path) -> None:
    """No Redis is exit 69; one that evicts is exit 78 with the mending command, unless loss is accepted."""
    variables = environment(settings) | {"MSGCTL_REDIS_PORT": str(ports.free_port())}
    missing = _fail(tmp_path, variables)
    assert missing.returncode == 69
    assert re.fullmatch(r"msgctl: Redis at \S+ does not answer.*\n", missing.stderr)


async def test_a_redis_that_evicts_is_refused(settings: Settings, tmp_path: Path) -> None:
    """`allkeys-lru` is exit 78 with the mending command; --accept-data-loss starts all the same."""
    async with ValkeyServer(tmp_path / "v", password="secret") as evicting:
        with redis.Redis.from_url(evicting.url()) as client:
            client.config_set("maxmemory-policy", "allkeys-lru")
        variables = environment(settings) | {
            "MSGCTL_REDIS_PORT": str(evicting.port),
            "MSGCTL_REDIS_PASSWORD": "secret",
        }
        refused = _fail(tmp_path, variables)
        assert refused.returncode == 78
        assert "CONFIG SET maxmemory-policy noeviction" in refused.stderr
        with running(tmp_path / "data", "--port", "0", "--accept-data-loss", variables=variables) as up:
            assert up.told["pids"]["worker"]


def test_a_daemon_that_cannot_be_configured_ends_it(settings: Settings, tmp_path: Path) -> None:
    """Exit 78 of one daemon stops everything, and its own words are the message."""
    variables = environment(settings) | {"MSGCTL_AUTH_ALGORITHM": "RS256", "MSGCTL_AUTH_PUBLIC_KEY": "nonsense"}
    refused = _fail(tmp_path, variables)
    assert refused.returncode == 78
    assert refused.stderr.splitlines()[-1].startswith("msgctl: [auth] public_key")


def test_a_taken_port_is_told(settings: Settings, tmp_path: Path) -> None:
    """A gateway's port that somebody else has is exit 78 and says what to do."""
    with ports.open_listener(ports.LOOPBACK, 0) as taken:
        refused = _fail(tmp_path, environment(settings), "--port", str(taken.getsockname()[1]))
    assert refused.returncode == 78
    assert "Choose another: --port" in refused.stderr
    assert not (tmp_path / "data").exists()


def test_a_taken_port_leaves_no_folder(tmp_path: Path) -> None:
    """Embedded servers are not made for a gateway that cannot listen."""
    with ports.open_listener(ports.LOOPBACK, 0) as taken:
        refused = _fail(tmp_path, os.environ, "--embedded", "--port", str(taken.getsockname()[1]))
    assert refused.returncode == 78
    assert "Choose another: --port" in refused.stderr
    assert not (tmp_path / "data").exists()


def test_it_says_what_it_starts_is_ready_last_and_where_the_data_are(tmp_path: Path) -> None:
    """On standard error: what is started, each daemon's readiness before our own, at the end the folder."""
    up = Up(tmp_path / "data", "--embedded", "--port", "0")
    ready = up.errors.read_text()
    assert ready.startswith("Starting Valkey, PostgreSQL, a fake n8n, a worker, a subscriber, and a gateway.\n")
    for daemon in ("Gateway", "Subscriber", "Worker"):
        assert f"{daemon} ready" in ready
    up.stop()
    assert up.errors.read_text().splitlines()[-1] == f"Stopped. The data are kept in {tmp_path / 'data'}."


def _fail(folder: Path, variables: Mapping[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [*MSGCTL, "up", "--data-dir", str(folder / "data"), *arguments]
    return subprocess.run(
        command, env=variables, capture_output=True, text=True, check=False, timeout=60, cwd=folder
    )


def _pids(up: Up, kind: str) -> list[int]:
    """The processes of a kind of daemon that are children of this `up`."""
    return [pid for pid in children(up.process.pid) if f"daemons.{kind}" in words(pid)]


def _answers(address: str) -> bool:
    """Whether a daemon is at work: its metrics are served as soon as it is ready, and not before."""
    try:
        return requests.get(f"http://{address}/metrics", timeout=10).ok
    except requests.ConnectionError:
        return False
