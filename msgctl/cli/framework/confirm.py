"""Asking before harm is done."""

import sys

from msgctl.cli.framework.context import may_prompt
from msgctl.domain.errors import Refused


def confirm(question: str, *, yes: bool, machine: bool) -> None:
    """Go on only if a person says yes, or `--yes` has said so already.

    Args:
        question: what is about to happen, with its number.
        yes: `--yes` was given.
        machine: the output is for a program, which must not be asked.

    Raises:
        Refused: nobody can be asked, or the answer was no.
    """
    if yes:
        return
    if machine or not may_prompt.get() or not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Refused(f"{question} Not confirmed: add --yes.")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise Refused("Nothing was done.")
