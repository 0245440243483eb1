"""How an invocation ends, and how times and cells are formatted."""

import time

import pytest
import typer

from msgctl.cli.framework.context import global_options_of
from msgctl.cli.framework.exit import run_invocation
from msgctl.cli.framework.output import print_table, printable
from msgctl.cli.framework.times import format_age, format_rfc3339
from msgctl.domain.errors import InvalidInput, MsgctlError, NothingMatched


def exit_code_for(error: BaseException, *, debug: bool = False) -> int:
    """Return the exit code of a command that raises an error."""
    app = typer.Typer(rich_markup_mode=None)

    @app.callback()
    def _globals(context: typer.Context) -> None:
        global_options_of(context).debug = debug

    @app.command()
    def act() -> None:
        secret = "hush"
        assert secret
        raise error

    return run_invocation(typer.main.get_group(app), ["act"])


def test_bug_is_reported_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code is 1, and the line names --debug."""
    assert exit_code_for(ZeroDivisionError("by zero")) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == "msgctl: a bug: ZeroDivisionError: by zero. Add --debug for the traceback.\n"


def test_debug_prints_traceback_without_locals(capsys: pytest.CaptureFixture[str]) -> None:
    """Python's own traceback prints no values."""
    assert exit_code_for(ZeroDivisionError("by zero"), debug=True) == 1
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert "secret = hush" not in shown
    assert "'hush'" not in shown


def test_msgctl_error_is_reported_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Each detail appears once, and the class of the error sets the exit code."""
    error = InvalidInput("Not acceptable.", details=[{"field": "priority", "problem": "too\nlow"}])
    assert exit_code_for(error) == 2
    assert capsys.readouterr().err == "msgctl: Not acceptable. priority: too low\n"
    assert exit_code_for(NothingMatched("None.")) == 5
    assert exit_code_for(MsgctlError("Odd.")) == 1


def test_interruption_exits_130_silently(capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code of a command is passed on."""
    assert exit_code_for(KeyboardInterrupt()) == 130
    assert exit_code_for(typer.Exit(4)) == 4
    assert capsys.readouterr().err == ""


def test_times_are_formatted_as_age_and_rfc3339() -> None:
    """An age uses the largest unit that fits."""
    assert format_age(time.time() * 1000 - 7_200_000) == "2h ago"
    assert format_rfc3339(1_767_225_600_001) == "2026-01-01T00:00:00.001Z"
    assert (format_age(None), format_rfc3339(None)) == (None, None)


def test_control_characters_in_cells_are_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    """Escapes, line ends, tabs, and text reversal become question marks. Markup stays text."""
    print_table(["id"], [["a\x1b[2Jb\nc\td\u202ee[red]"]])
    assert "a?[2Jb?c?d?e[red]" in capsys.readouterr().out
    assert printable({"a": "\x1b"}) == '{"a": "\\u001b"}'
