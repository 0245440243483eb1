"""How an invocation ends, whatever happens in it; and how times and cells are written."""

import time

import pytest
import typer

from msgctl.cli.framework.context import global_options_of
from msgctl.cli.framework.exit import run_invocation
from msgctl.cli.framework.output import print_table, printable
from msgctl.cli.framework.times import format_age, format_rfc3339
from msgctl.domain.errors import InvalidInput, MsgctlError, NothingMatched


def ending_with(error: BaseException, *, debug: bool = False) -> int:
    """The exit code of a command that raises."""
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


def test_a_bug_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 1, no traceback, and how to get one."""
    assert ending_with(ZeroDivisionError("by zero")) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == "msgctl: a bug: ZeroDivisionError: by zero. Add --debug for the traceback.\n"


def test_debug_shows_where_a_bug_is_and_no_locals(capsys: pytest.CaptureFixture[str]) -> None:
    """The traceback is Python's own, which prints no values."""
    assert ending_with(ZeroDivisionError("by zero"), debug=True) == 1
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert "secret = hush" not in shown
    assert "'hush'" not in shown


def test_an_error_of_ours_is_one_line_with_its_details(capsys: pytest.CaptureFixture[str]) -> None:
    """Each fault is told once, and the error's class gives the exit code."""
    error = InvalidInput("Not acceptable.", details=[{"field": "priority", "problem": "too\nlow"}])
    assert ending_with(error) == 2
    assert capsys.readouterr().err == "msgctl: Not acceptable. priority: too low\n"
    assert ending_with(NothingMatched("None.")) == 5
    assert ending_with(MsgctlError("Odd.")) == 1


def test_ctrl_c_and_exit_codes_pass(capsys: pytest.CaptureFixture[str]) -> None:
    """An interruption is 130 and quiet; a command's own exit code is kept."""
    assert ending_with(KeyboardInterrupt()) == 130
    assert ending_with(typer.Exit(4)) == 4
    assert capsys.readouterr().err == ""


def test_times_are_relative_for_people_and_absolute_for_machines() -> None:
    """The largest unit that fits, or RFC 3339 with milliseconds in UTC."""
    assert format_age(time.time() * 1000 - 7_200_000) == "2h ago"
    assert format_rfc3339(1_767_225_600_001) == "2026-01-01T00:00:00.001Z"
    assert (format_age(None), format_rfc3339(None)) == (None, None)


def test_no_cell_can_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    """Escapes, line ends, tabs and the reversal of writing are shown as question marks; markup is text."""
    print_table(["id"], [["a\x1b[2Jb\nc\td\u202ee[red]"]])
    assert "a?[2Jb?c?d?e[red]" in capsys.readouterr().out
    assert printable({"a": "\x1b"}) == '{"a": "\\u001b"}'
