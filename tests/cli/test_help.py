"""The help at 80 columns: nothing is cut or too wide, and examples can be copied."""

import contextlib
import io
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from msgctl.cli.app import COMMAND_ENTRIES, make_root
from msgctl.cli.framework.help import first_clause, wrap_shell_line
from msgctl.cli.framework.lazy import load_command

WIDTH = 80


def walk_commands(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    """Yield a command and all commands below it."""
    yield name, command
    for verb, subcommand in getattr(command, "commands", {}).items():
        yield from walk_commands(f"{name} {verb}", subcommand)


EVERY = {
    name: command
    for entry in COMMAND_ENTRIES
    for name, command in walk_commands(entry, load_command(entry, COMMAND_ENTRIES[entry]))
}


@pytest.fixture(autouse=True)
def narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the width of the terminal to 80 columns."""
    monkeypatch.setenv("COLUMNS", str(WIDTH))


def help_text(*words: str) -> str:
    """Return the output of `msgctl WORDS --help`."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        make_root()([*words, "--help"], prog_name="msgctl")
    return printed.getvalue()


@pytest.mark.parametrize("name", EVERY)
def test_help_fits_terminal(name: str) -> None:
    """Each line fits, and each verb has a whole clause."""
    usage, _, text = help_text(*name.split()).partition("\n")
    assert "[[" not in usage
    assert "{ID...}" not in usage
    assert max(map(len, text.splitlines())) <= WIDTH
    assert not [line for line in text.splitlines() if line.endswith("...")]


@pytest.mark.parametrize("name", [name for name, command in EVERY.items() if "Example" in (command.epilog or "")])
def test_example_is_one_shell_command(name: str) -> None:
    """A shell reads the words of the example, however it is wrapped."""
    text = help_text(*name.split())
    drawn = text[text.index("Example: ") + len("Example: ") :]
    typed = drawn.replace("\\\n", " ")
    assert shlex.split(typed, comments=False) == shlex.split(EVERY[name].epilog.removeprefix("Example: "))


def test_quoted_word_is_not_wrapped() -> None:
    """Even if it is longer than the line."""
    assert wrap_shell_line("m edit --text 'one two three' -y", 14) == [
        "m edit \\",
        "--text \\",
        "'one two three' \\",
        "-y",
    ]


@pytest.mark.parametrize(
    ("text", "clause"),
    [
        ("Forget them for good. There is no undo.", "Forget them for good."),
        ("End them; they are\n    told.\n\nMore.", "End them."),
        ("Of v1.2 only", "Of v1.2 only."),
    ],
)
def test_first_clause_ends_at_semicolon_or_full_stop(text: str, clause: str) -> None:
    """The clause is on one line."""
    assert re.sub(r"\s+", " ", first_clause(text)) == clause
