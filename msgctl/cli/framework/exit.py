"""How an invocation ends: one readable line on standard error, and an exit code.

0 ok · 1 bug · 2 usage · 3 not found · 4 partial or violated · 5 nothing matched · 6 refused or not confirmed ·
69 unavailable · 75 try later · 78 configuration · 130 interrupted
"""

import traceback
from typing import Any

import typer
from typer.exceptions import TyperException

from msgctl.cli.framework.context import GlobalOptions
from msgctl.cli.framework.output import print_note
from msgctl.domain.errors import InvalidInput, MsgctlError

EXIT_INTERRUPTED = 130
EXIT_VIOLATED = 4
"""The exit code of a check that found a problem."""
POSITION_FREE_FLAGS = {"--debug", "--no-input"}


def run_invocation(root: Any, args: list[str]) -> int:
    """Run one invocation and return its exit code.

    Args:
        root: the command tree of `app.make_root`.
        args: the arguments after `msgctl`.
    """
    state = GlobalOptions()
    try:
        _check_encoding(args)
        result = root.main(args=_globals_first(args), prog_name="msgctl", standalone_mode=False, obj=state)
    except TyperException as error:
        _print_usage_error(error)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return EXIT_INTERRUPTED
    except MsgctlError as error:
        _print_error(_error_line(error), debug=state.debug)
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - the last resort: a person gets one line, not a traceback
        _print_error(f"a bug: {type(error).__name__}: {error}. Add --debug for the traceback.", debug=state.debug)
        return 1
    return result if isinstance(result, int) else 0


def _check_encoding(args: list[str]) -> None:
    """Refuse surrogates, which Python makes of bytes that are not UTF-8 and which cannot be stored."""
    for argument in args:
        if any("\ud800" <= character <= "\udfff" for character in argument):
            raise InvalidInput(f"The argument {argument!a} is not UTF-8.")


def _globals_first(args: list[str]) -> list[str]:
    """Move `--debug` and `--no-input` to the front, because people add them at the end of a line."""
    end = args.index("--") if "--" in args else len(args)
    given = [word for word in args[:end] if word in POSITION_FREE_FLAGS]
    return [*given, *(word for word in args[:end] if word not in POSITION_FREE_FLAGS), *args[end:]]


def _print_error(line: str, *, debug: bool) -> None:
    if debug:
        print_note(traceback.format_exc().rstrip())
    print_note(f"msgctl: {line}")


def _error_line(error: MsgctlError) -> str:
    faults = [fault for fault in error.details or [] if fault.get("problem", "") not in error.message]
    details = "; ".join(": ".join(fault.values()) for fault in faults)
    return " ".join(f"{error.message} {details}".split())


def _print_usage_error(error: TyperException) -> None:
    if type(error).__name__ == "NoArgsIsHelpError":  # its text is the help of the command
        print_note(error.format_message())
        return
    if faults := getattr(error.__cause__, "errors", None):  # pydantic's texts are written for programmers
        from msgctl.config.validation_messages import describe_validation_fault  # noqa: PLC0415 - only a fault needs it

        error.message = "; ".join(map(describe_validation_fault, faults()))
    possibilities: list[str] | None = getattr(error, "possibilities", None)
    hint = f" Did you mean {' or '.join(possibilities)}?" if possibilities else ""
    problem = f"{error.message}." if possibilities else error.format_message()
    print_note(f"msgctl: {problem.rstrip()}{hint}")
    context = getattr(error, "ctx", None)
    if context is not None:
        print_note(f"Try: {context.command_path} --help")
