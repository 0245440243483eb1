"""`msgctl doctor`: what is the matter, why it matters, and the command that mends it."""

from typing import Annotated

import typer

from msgctl.cli.framework.audit import record_action
from msgctl.cli.framework.confirm import confirm
from msgctl.cli.framework.output import (
    RecordFormat,
    RecordOutputOption,
    fold_line,
    print_json,
    print_note,
    print_text,
    printable,
)
from msgctl.cli.framework.query import DryRunOption, ReasonOption, YesOption
from msgctl.cli.framework.session import CommandSession, run_with_session
from msgctl.domain.errors import Incomplete
from msgctl.domain.plural import pluralize
from msgctl.operations.checks.doctor.doctor import Doctor
from msgctl.operations.checks.findings import Finding, Severity

MARK_WIDTH = 4
"""Columns of a mark."""
DETAIL_INDENT = " " * (MARK_WIDTH + 2)
SEVERITY_MARKS = {Severity.OK: "ok", Severity.WARNING: "WARN", Severity.TROUBLE: "BAD"}


def doctor(
    context: typer.Context,
    *,
    fix: Annotated[bool, typer.Option("--fix", help="Mend what is safe to mend.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Do not look at every single message.")] = False,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    reason: ReasonOption = "",
    output: RecordOutputOption = RecordFormat.TABLE,
) -> None:
    """Examine Redis, PostgreSQL, n8n, daemons, queue, keys and machine; exit 4 if there is trouble.

    Each finding says what it is, why it matters and what mends it. `--fix` sets Redis to keep what it takes, makes
    missing tables and forgets daemons that are gone; nothing else.

    Example: msgctl doctor --fix --dry-run
    """
    machine = output is RecordFormat.JSON

    async def body(session: CommandSession) -> tuple[list[Finding], list[str]]:
        context = session.context
        found = await context.get(Doctor).examine(session.agents, thorough=not quick)
        fixes = sorted({finding.fix for finding in found if finding.fix}) if fix else []
        if not fixes or dry_run:
            return found, fixes
        confirm(f"This will be mended: {', '.join(fixes)}.", yes=yes, machine=machine)
        for one in fixes:
            await context.get(Doctor).fix(one)
        await record_action(session, "doctor fix", fixes, reason=reason)
        return await context.get(Doctor).examine(session.agents, thorough=not quick), fixes

    found, fixes = run_with_session(context, body)
    if machine:
        findings = [finding.to_diagnosis() for finding in found]
        print_json({"schema": "msgctl.diagnosis/1", "findings": findings, "fixes": fixes, "dryRun": dry_run})
    else:
        _print_findings(found)
    for one in fixes:
        print_note(f"{'would mend' if dry_run else 'mended'}: {one}")
    troubles = [finding.code for finding in found if finding.severity is Severity.TROUBLE]
    if troubles:
        raise Incomplete(f"{pluralize(len(troubles), 'trouble')}: {', '.join(dict.fromkeys(troubles))}.")


def _print_findings(found: list[Finding]) -> None:
    """A line a check; below one that is not sound what it found, why that matters, and steps to mend it."""
    width = max(len(finding.subject) for finding in found)
    for finding in found:
        sound = finding.severity is Severity.OK
        head = f"{SEVERITY_MARKS[finding.severity]:<{MARK_WIDTH}}  {finding.subject:<{width}}  "
        print_text(fold_line(head, printable(finding.text if sound else finding.code)))
        if not sound:
            print_text(fold_line(DETAIL_INDENT, printable(finding.text)))
            print_text(fold_line(f"{DETAIL_INDENT}Why: ", finding.impact))
            for step in finding.remedy.split("; "):
                print_text(fold_line(f"{DETAIL_INDENT}→ ", step))
