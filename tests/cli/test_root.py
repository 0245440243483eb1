"""What all commands have in common: help, typos, errors, and exit codes."""

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
    """`msgctl --help` needs no Redis, no PostgreSQL, no settings model, and no event loop."""
    code = (
        "import sys; from msgctl.cli.framework.exit import run_invocation as run;"
        "from msgctl.cli.app import make_root;"
        "run(make_root(), ['--help']); print('MODULES', *sorted({m.split('.')[0] for m in sys.modules}))"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: ASYNC221
    assert "Usage: msgctl" in process.stdout
    modules = set(process.stdout.rpartition("MODULES")[2].split())
    assert modules & HEAVY == set()


async def test_help_lists_each_command(msgctl: Invoke) -> None:
    """It needs no server and exits with 0 without Redis and PostgreSQL."""
    outcome = await msgctl("--help", environ={"MSGCTL_REDIS_PORT": "1"})
    assert outcome.code == 0
    assert outcome.stderr == ""
    for name, entry in COMMAND_ENTRIES.items():
        assert any(line.split()[:1] == [name] and entry.summary in line for line in outcome.lines)
    assert max(map(len, outcome.lines)) <= 80


def walk_leaves(name: str, command: Any) -> list[tuple[str, Any]]:
    """Return each command that is not a group, with its full name."""
    verbs = getattr(command, "commands", None)
    if verbs is None:
        return [(name, command)]
    return [leaf for verb, subcommand in verbs.items() for leaf in walk_leaves(f"{name} {verb}", subcommand)]


COMMANDS = dict(
    leaf for name, entry in COMMAND_ENTRIES.items() for leaf in walk_leaves(name, load_command(name, entry))
)


@pytest.mark.parametrize("name", COMMANDS)
def test_command_help_has_text_and_one_example(name: str) -> None:
    """Each option has help."""
    command = COMMANDS[name]
    assert command.help
    assert f"{command.help}\n{command.epilog}".count("Example: ") == 1
    assert "msgctl " in f"{command.help}\n{command.epilog}".partition("Example: ")[2]
    for parameter in command.params:
        assert parameter.help, parameter.name


async def test_version_is_printed_on_stdout(msgctl: Invoke) -> None:
    """Nothing else is printed."""
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
async def test_typo_error_suggests_nearest_word(msgctl: Invoke, arguments: list[str], hint: str) -> None:
    """The exit code is 2."""
    outcome = await msgctl(*arguments)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert hint in outcome.stderr


async def test_noun_without_verb_prints_help_and_exits_2(msgctl: Invoke) -> None:
    """The help goes to standard error."""
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
async def test_unreachable_redis_exits_69_in_one_line(msgctl: Invoke, arguments: list[str]) -> None:
    """The line has the address and the setting, and no secret."""
    outcome = await msgctl(*arguments, environ={"MSGCTL_REDIS_PORT": "1", "MSGCTL_REDIS_PASSWORD": "hush"})
    assert (outcome.code, outcome.stdout) == (69, "")
    (line,) = outcome.stderr.splitlines()
    assert line.startswith("msgctl: Redis at redis://127.0.0.1:1/7 does not answer")
    assert "hush" not in line


async def test_unreachable_postgres_exits_69_in_one_line(msgctl: Invoke) -> None:
    """The line has the address without user and password."""
    for arguments in (["agent", "list"], ["db", "migrate"]):
        outcome = await msgctl(*arguments, environ={"MSGCTL_POSTGRES_URL": "postgresql://u:hush@127.0.0.1:1/d"})
        assert (outcome.code, outcome.stdout) == (69, "")
        (line,) = outcome.stderr.splitlines()
        assert line.startswith("msgctl: PostgreSQL at postgresql://127.0.0.1:1/d cannot be used")
        assert "hush" not in line


async def test_invalid_configuration_exits_78_in_one_line(msgctl: Invoke) -> None:
    """The line lists all problems."""
    outcome = await msgctl("stats", environ={"MSGCTL_REDIS_PORT": "x", "MSGCTL_REDIS_PROT": "1"})
    assert (outcome.code, outcome.stdout) == (78, "")
    (line,) = outcome.stderr.splitlines()
    assert "MSGCTL_REDIS_PROT (did you mean MSGCTL_REDIS_PORT?)" in line
    assert "redis.port (from MSGCTL_REDIS_PORT)" in line


async def test_debug_prints_traceback(msgctl: Invoke) -> None:
    """The line for people stays."""
    environ = {"MSGCTL_REDIS_PORT": "1"}
    assert "Traceback" not in (await msgctl("stats", environ=environ)).stderr
    outcome = await msgctl("--debug", "stats", environ=environ)
    assert outcome.code == 69
    assert "Traceback" in outcome.stderr
    assert "msgctl: Redis at" in outcome.stderr


async def test_config_option_and_variable_name_the_file(msgctl: Invoke, tmp_path: Path) -> None:
    """A missing file exits with 78."""
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


async def test_closed_pipe_is_not_an_error(settings: Settings, tmp_path: Path) -> None:
    """As in `msgctl config show | head -1`."""
    async with started(settings, "config", "show", "-o", "jsonl", folder=tmp_path) as process:
        assert process.stdout is not None
        process.stdout._transport.close()  # type: ignore[attr-defined]  # what `head` does when it has enough
        _, stderr = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert (process.returncode, stderr) == (0, b"")


async def test_interrupted_wait_exits_130_silently(
    settings: Settings, agent_id: str, traffic: Traffic, tmp_path: Path
) -> None:
    """Ctrl-C prints no traceback."""

    async def accepted() -> bool:
        return await traffic.queue.find("m") is not None

    arguments = ("message", "send", "hello", "--agent", agent_id, "--wait", "--id", "m")
    async with started(settings, *arguments, folder=tmp_path) as process:
        await until(accepted, "the message to be accepted")
        process.send_signal(signal.SIGINT)
        stdout, stderr = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert (process.returncode, stdout, stderr) == (130, b"", b"")
