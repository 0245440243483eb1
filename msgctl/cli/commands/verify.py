"""`msgctl verify`: check the invariants on the live system."""

from collections import Counter
from typing import Annotated

import typer

from msgctl.cli.framework.exit import EXIT_VIOLATED
from msgctl.cli.framework.options import RecordFormat, RecordOutputOption
from msgctl.cli.framework.output import print_json, print_note, print_table
from msgctl.cli.framework.session import run_with_session
from msgctl.domain.plural import pluralize
from msgctl.operations.checks.invariants.check import INVARIANTS
from msgctl.operations.checks.invariants.verify import InvariantVerification, VerificationReport


def verify(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Maximum number of violations to print.")] = 100,
    output: RecordOutputOption = RecordFormat.TABLE,
) -> None:
    """Check the invariants of all messages, conversations, and keys. Exit code 4 if one is violated.

    It reads in small batches and checks three times before it reports a violation, so it can run at any time.
    Example: msgctl verify -o json
    """
    report = run_with_session(context, lambda session: session.context.get(InvariantVerification).run())
    if output is RecordFormat.JSON:
        print_json(
            {
                "schema": "msgctl.verdict/1",
                "holds": report.holds,
                "messages": report.messages,
                "violations": [violation.to_violation() for violation in report.violations[:limit]],
                "violated": len(report.violations),
                "limit": limit,
            }
        )
    else:
        _print_report(report, limit)
    if not report.holds:
        raise typer.Exit(EXIT_VIOLATED)


def _print_report(report: VerificationReport, limit: int) -> None:
    print_table(["messages", ""], list(report.messages.items()))
    if report.holds:
        print_note("Every invariant holds.")
        return
    print_table(
        ["invariant", "id", "problem"],
        [list(violation.to_violation().values()) for violation in report.violations[:limit]],
    )
    kinds = Counter(violation.code for violation in report.violations)
    for name in sorted(kinds):
        print_note(f"{name}: {INVARIANTS[name]}.")
    summary = ", ".join(f"{name}: {count}" for name, count in sorted(kinds.items()))
    print_note(f"msgctl: {pluralize(len(report.violations), 'violation')} ({summary}).")
