"""Confirmation of harmful actions."""

import sys

from msgctl.cli.framework.context import may_prompt
from msgctl.domain.errors import Refused


def confirm(question: str, *, yes: bool, machine: bool) -> None:
    """Return only if `--yes` was given, or a person confirms at the terminal.

    Args:
        question: what is about to happen, with the number of things it concerns.
        yes: `--yes` was given.
        machine: the output is for a program, which must not be prompted.

    Raises:
        Refused: no terminal can be prompted, or the answer was no.
    """
    if yes:
        return
    if machine or not may_prompt.get() or not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Refused(f"{question} Not confirmed. Add --yes.")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise Refused("Nothing was done.")
