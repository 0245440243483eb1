"""`msgctl doctor`: find problems, and name their effect and their fix."""

from typing import Annotated

import typer

from msgctl.cli.framework.audit import record_action
from msgctl.cli.framework.confirm import confirm
from msgctl.cli.framework.options import DryRunOption, ReasonOption, RecordFormat, RecordOutputOption, YesOption
from msgctl.cli.framework.output import fold_line, print_json, print_note, print_text, printable
from msgctl.cli.framework.session import CommandSession, run_with_session
from msgctl.domain.errors import Incomplete
from msgctl.domain.plural import pluralize
from msgctl.operations.checks.doctor.doctor import Doctor
from msgctl.operations.checks.findings import Finding, Severity

MARK_WIDTH = 4
"""Width of a mark, in terminal columns."""
DETAIL_INDENT = " " * (MARK_WIDTH + 2)
SEVERITY_MARKS = {Severity.OK: "ok", Severity.WARNING: "WARN", Severity.TROUBLE: "BAD"}


def doctor(
    context: typer.Context,
    *,
    fix: Annotated[bool, typer.Option("--fix", help="Apply the fixes that are safe.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Skip the checks that read every message.")] = False,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    reason: ReasonOption = "",
    output: RecordOutputOption = RecordFormat.TABLE,
) -> None:
    """Check Redis, PostgreSQL, n8n, daemons, queue, keys, and machine. Exit code 4 if there is a problem.

    Each finding names the problem, its effect, and its fix. `--fix` does three things: it configures Redis not to
    lose data, creates missing tables, and removes dead daemons from the registry.

    Example: msgctl doctor --fix --dry-run
    """
    machine = output is RecordFormat.JSON

    async def body(session: CommandSession) -> tuple[list[Finding], list[str]]:
        doctor = session.context.get(Doctor)
        findings = await doctor.examine(session.agents, thorough=not quick)
        fixes = sorted({finding.fix for finding in findings if finding.fix}) if fix else []
        if not fixes or dry_run:
            return findings, fixes
        confirm(f"This will be fixed: {', '.join(fixes)}.", yes=yes, machine=machine)
        for name in fixes:
            await doctor.fix(name)
        await record_action(session, "doctor fix", fixes, reason=reason)
        return await doctor.examine(session.agents, thorough=not quick), fixes

    findings, fixes = run_with_session(context, body)
    if machine:
        records = [finding.to_diagnosis() for finding in findings]
        print_json({"schema": "msgctl.diagnosis/1", "findings": records, "fixes": fixes, "dryRun": dry_run})
    else:
        _print_findings(findings)
    for name in fixes:
        print_note(f"{'would fix' if dry_run else 'fixed'}: {name}")
    problems = [finding.code for finding in findings if finding.severity is Severity.TROUBLE]
    if problems:
        raise Incomplete(f"{pluralize(len(problems), 'problem')}: {', '.join(dict.fromkeys(problems))}.")


def _print_findings(findings: list[Finding]) -> None:
    """Print one line for each check, and below a failed one the problem, its effect, and the steps of its fix."""
    width = max(len(finding.subject) for finding in findings)
    for finding in findings:
        is_ok = finding.severity is Severity.OK
        head = f"{SEVERITY_MARKS[finding.severity]:<{MARK_WIDTH}}  {finding.subject:<{width}}  "
        print_text(fold_line(head, printable(finding.text if is_ok else finding.code)))
        if not is_ok:
            print_text(fold_line(DETAIL_INDENT, printable(finding.text)))
            print_text(fold_line(f"{DETAIL_INDENT}Why: ", finding.impact))
            for step in finding.remedy.split("; "):
                print_text(fold_line(f"{DETAIL_INDENT}→ ", step))
