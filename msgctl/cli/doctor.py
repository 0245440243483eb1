"""`msgctl doctor`: what is the matter, why it matters, and the command that mends it."""

from typing import Annotated

import msgspec
import typer

from msgctl.cli._acts import note_act
from msgctl.cli._confirm import confirm
from msgctl.cli._output import RecordOutput, RecordShape, folded, note, print_json, print_text, printable
from msgctl.cli._query import DryRun, Reason, Yes
from msgctl.cli._session import Session, run
from msgctl.errors import Incomplete
from msgctl.operations.counting import counted
from msgctl.operations.doctor.finding import Finding, Level

MARK = 4
"""Columns of a mark."""
INDENT = " " * (MARK + 2)
MARKS = {Level.OK: "ok", Level.WARNING: "WARN", Level.TROUBLE: "BAD"}


def doctor(
    context: typer.Context,
    *,
    fix: Annotated[bool, typer.Option("--fix", help="Mend what is safe to mend.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Do not look at every single message.")] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    reason: Reason = "",
    output: RecordOutput = RecordShape.TABLE,
) -> None:
    """Examine Redis, PostgreSQL, n8n, daemons, queue, keys and machine; exit 4 if there is trouble.

    Each finding says what it is, why it matters and what mends it. `--fix` sets Redis to keep what it takes, makes
    missing tables and forgets daemons that are gone; nothing else.

    Example: msgctl doctor --fix --dry-run
    """
    machine = output is RecordShape.JSON

    async def body(session: Session) -> tuple[list[Finding], list[str]]:
        operations = session.operations
        found = await operations.doctor.examine(session.agents, thorough=not quick)
        fixes = sorted({finding.fix for finding in found if finding.fix}) if fix else []
        if not fixes or dry_run:
            return found, fixes
        confirm(f"This will be mended: {', '.join(fixes)}.", yes=yes, machine=machine)
        for one in fixes:
            await operations.doctor.mend(one)
        await note_act(session, "doctor fix", fixes, reason=reason)
        return await operations.doctor.examine(session.agents, thorough=not quick), fixes

    found, fixes = run(context, body)
    if machine:
        findings = msgspec.to_builtins(found)
        print_json({"schema": "msgctl.diagnosis/1", "findings": findings, "fixes": fixes, "dryRun": dry_run})
    else:
        _draw(found)
    for one in fixes:
        note(f"{'would mend' if dry_run else 'mended'}: {one}")
    troubles = [finding.code for finding in found if finding.level is Level.TROUBLE]
    if troubles:
        raise Incomplete(f"{counted(len(troubles), 'trouble')}: {', '.join(dict.fromkeys(troubles))}.")


def _draw(found: list[Finding]) -> None:
    """A line a check; below one that is not sound what it found, why that matters, and steps to mend it."""
    width = max(len(finding.check) for finding in found)
    for finding in found:
        sound = finding.level is Level.OK
        head = f"{MARKS[finding.level]:<{MARK}}  {finding.check:<{width}}  "
        print_text(folded(head, printable(finding.what if sound else finding.code)))
        if not sound:
            print_text(folded(INDENT, printable(finding.what)))
            print_text(folded(f"{INDENT}Why: ", finding.why))
            for step in finding.mend.split("; "):
                print_text(folded(f"{INDENT}→ ", step))
