"""What every command has in common: help, typos, errors, exit codes."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from msgctl import __version__
from msgctl.cli.app import COMMAND_ENTRIES
from msgctl.cli.framework.lazy import load_command
from msgctl.config.settings import Settings
from tests.support.command_line import Invoke, started
from tests.support.messages import Traffic
from tools.support.daemons import PATIENCE, until

HEAVY = {"redis", "psycopg", "pydantic", "rich", "msgspec", "asyncio", "structlog", "rq", "aiohttp"}


async def test_help_imports_nothing_heavy(msgctl: Invoke) -> None:
    """`msgctl --help` answers without Redis, PostgreSQL, the settings model or an event loop."""
    code = (
        "import sys; from msgctl.cli.framework.exit import run_invocation as run;"
        "from msgctl.cli.app import make_root;"
        "run(make_root(), ['--help']); print('MODULES', *sorted({m.split('.')[0] for m in sys.modules}))"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: ASYNC221
    assert "Usage: msgctl" in process.stdout
    modules = set(process.stdout.rpartition("MODULES")[2].split())
    assert modules & HEAVY == set()


async def test_help_lists_every_command(msgctl: Invoke) -> None:
    """Each has its line, and help needs no server: it exits 0 where Redis and PostgreSQL are not."""
    outcome = await msgctl("--help", environ={"MSGCTL_REDIS_PORT": "1"})
    assert outcome.code == 0
    assert outcome.stderr == ""
    for name, entry in COMMAND_ENTRIES.items():
        assert any(line.split()[:1] == [name] and entry.summary in line for line in outcome.lines)
    assert max(map(len, outcome.lines)) <= 80


def leaves(name: str, command: Any) -> list[tuple[str, Any]]:
    """Every command that does something, with its whole name."""
    verbs = getattr(command, "commands", None)
    if verbs is None:
        return [(name, command)]
    return [leaf for verb, below in verbs.items() for leaf in leaves(f"{name} {verb}", below)]


COMMANDS = dict(
    leaf for name, entry in COMMAND_ENTRIES.items() for leaf in leaves(name, load_command(name, entry))
)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does_and_shows_one_example(name: str) -> None:
    """Help is a sentence, options that are explained, and a line to copy."""
    command = COMMANDS[name]
    assert command.help
    assert f"{command.help}\n{command.epilog}".count("Example: ") == 1
    assert "msgctl " in f"{command.help}\n{command.epilog}".partition("Example: ")[2]
    for parameter in command.params:
        assert parameter.help, parameter.name


async def test_the_version(msgctl: Invoke) -> None:
    """It is data: on standard output, alone."""
    outcome = await msgctl("--version")
    assert (outcome.code, outcome.stdout, outcome.stderr) == (0, f"msgctl {__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["mesage", "send"], "Did you mean 'message'?"),
        (["queue", "stat"], "Did you mean 'stats'?"),
        (["--confg", "x"], "Did you mean --config?"),
        (["stats", "--outptu", "json"], "Did you mean --output?"),
    ],
)
async def test_a_typo_is_told_what_was_meant(msgctl: Invoke, arguments: list[str], hint: str) -> None:
    """Exit 2, nothing on standard output, and the nearest known word."""
    outcome = await msgctl(*arguments)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert hint in outcome.stderr


async def test_a_noun_without_a_verb_shows_its_help(msgctl: Invoke) -> None:
    """It is no data and nothing was done: on standard error, exit 2."""
    outcome = await msgctl("queue")
    assert (outcome.code, outcome.stdout) == (2, "")
    assert "health" in outcome.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["stats"],
        ["health"],
        ["status", "m"],
        ["dlq", "list"],
        ["dlq", "replay", "m"],
        ["worker", "list"],
        ["queue", "clean", "--state", "failed", "--older-than", "1s"],
    ],
)
async def test_a_missing_redis_is_one_line_and_69(msgctl: Invoke, arguments: list[str]) -> None:
    """It names where Redis was looked for and the setting, and shows no traceback."""
    outcome = await msgctl(*arguments, environ={"MSGCTL_REDIS_PORT": "1", "MSGCTL_REDIS_PASSWORD": "hush"})
    assert (outcome.code, outcome.stdout) == (69, "")
    (line,) = outcome.stderr.splitlines()
    assert line.startswith("msgctl: Redis at redis://127.0.0.1:1/7 does not answer")
    assert "hush" not in line


async def test_a_missing_postgres_is_one_line_and_69(msgctl: Invoke) -> None:
    """It names where PostgreSQL was looked for, without user and password."""
    for arguments in (["agent", "list"], ["db", "migrate"]):
        outcome = await msgctl(*arguments, environ={"MSGCTL_POSTGRES_URL": "postgresql://u:hush@127.0.0.1:1/d"})
        assert (outcome.code, outcome.stdout) == (69, "")
        (line,) = outcome.stderr.splitlines()
        assert line.startswith("msgctl: PostgreSQL at postgresql://127.0.0.1:1/d cannot be used")
        assert "hush" not in line


async def test_a_bad_configuration_is_one_line_and_78(msgctl: Invoke) -> None:
    """Every problem is in it."""
    outcome = await msgctl("stats", environ={"MSGCTL_REDIS_PORT": "x", "MSGCTL_REDIS_PROT": "1"})
    assert (outcome.code, outcome.stdout) == (78, "")
    (line,) = outcome.stderr.splitlines()
    assert "MSGCTL_REDIS_PROT (did you mean MSGCTL_REDIS_PORT?)" in line
    assert "redis.port (from MSGCTL_REDIS_PORT)" in line


async def test_debug_shows_the_traceback(msgctl: Invoke) -> None:
    """Only when it is asked for, and the line for people stays."""
    environ = {"MSGCTL_REDIS_PORT": "1"}
    assert "Traceback" not in (await msgctl("stats", environ=environ)).stderr
    outcome = await msgctl("--debug", "stats", environ=environ)
    assert outcome.code == 69
    assert "Traceback" in outcome.stderr
    assert "msgctl: Redis at" in outcome.stderr


async def test_config_is_a_global_option(msgctl: Invoke, tmp_path: Path) -> None:
    """A file named by `--config` or MSGCTL_CONFIG is read; one that is not there is exit 78."""
    file = tmp_path / "some.toml"
    file.write_text("[worker]\nconcurrency = 17\n")
    for arguments, environ in (
        (["--config", str(file)], {}),
        ([], {"MSGCTL_CONFIG": str(file)}),
    ):
        outcome = await msgctl(*arguments, "config", "show", "-o", "json", environ=environ)
        values = {item["key"]: item["value"] for item in outcome.json["items"]}
        assert values["worker.concurrency"] == 17
    assert (await msgctl("--config", "none.toml", "stats")).code == 78


async def test_a_reader_who_leaves_is_no_error(settings: Settings, tmp_path: Path) -> None:
    """`msgctl config show | head -1` says nothing of broken pipes."""
    async with started(settings, "config", "show", "-o", "jsonl", folder=tmp_path) as process:
        assert process.stdout is not None
        process.stdout._transport.close()  # type: ignore[attr-defined]  # what `head` does when it has enough
        _, stderr = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert (process.returncode, stderr) == (0, b"")


async def test_interrupting_is_quiet_and_130(
    settings: Settings, agent_id: str, traffic: Traffic, tmp_path: Path
) -> None:
    """Ctrl-C while waiting for a reply leaves no traceback."""

    async def accepted() -> bool:
        return await traffic.queue.find("m") is not None

    arguments = ("message", "send", "hello", "--agent", agent_id, "--wait", "--id", "m")
    async with started(settings, *arguments, folder=tmp_path) as process:
        await until(accepted, "the message to be accepted")
        process.send_signal(signal.SIGINT)
        stdout, stderr = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert (process.returncode, stdout, stderr) == (130, b"", b"")
