"""What `--help` shows at 80 columns: nothing cut, nothing beyond the edge, and examples that can be copied."""

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


def commands(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    """A command and all below it."""
    yield name, command
    for verb, below in getattr(command, "commands", {}).items():
        yield from commands(f"{name} {verb}", below)


EVERY = {
    name: command
    for entry in COMMAND_ENTRIES
    for name, command in commands(entry, load_command(entry, COMMAND_ENTRIES[entry]))
}


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", str(WIDTH))


def shown(*words: str) -> str:
    """What `msgctl WORDS --help` prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        make_root()([*words, "--help"], prog_name="msgctl")
    return printed.getvalue()


@pytest.mark.parametrize("name", EVERY)
def test_no_help_is_cut_or_too_wide(name: str) -> None:
    """Of each verb a whole clause, and every line within the terminal."""
    usage, _, text = shown(*name.split()).partition("\n")
    assert "[[" not in usage
    assert "{ID...}" not in usage
    assert max(map(len, text.splitlines())) <= WIDTH
    assert not [line for line in text.splitlines() if line.endswith("...")]


@pytest.mark.parametrize("name", [name for name, command in EVERY.items() if "Example" in (command.epilog or "")])
def test_an_example_can_be_copied(name: str) -> None:
    """Whatever lines it takes, a shell reads the words that were meant."""
    text = shown(*name.split())
    drawn = text[text.index("Example: ") + len("Example: ") :]
    typed = drawn.replace("\\\n", " ")
    assert shlex.split(typed, comments=False) == shlex.split(EVERY[name].epilog.removeprefix("Example: "))


def test_a_quoted_word_is_not_broken() -> None:
    """Not even where it is longer than the line."""
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
def test_the_gist_is_the_first_clause(text: str, clause: str) -> None:
    """To the first semicolon or the end of the sentence, on one line."""
    assert re.sub(r"\s+", " ", first_clause(text)) == clause
