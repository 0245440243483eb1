"""`msgctl verify`: do the invariants hold, on the live system?"""

from collections import Counter
from typing import Annotated

import typer

from msgctl.cli.framework.output import RecordFormat, RecordOutputOption, print_json, print_note, print_table
from msgctl.cli.framework.session import run_with_session
from msgctl.domain.plural import pluralize
from msgctl.operations.checks.invariants.check import INVARIANTS
from msgctl.operations.checks.invariants.verify import InvariantVerification, VerificationReport

EXIT_VIOLATED = 4


def verify(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many violations to print.")] = 100,
    output: RecordOutputOption = RecordFormat.TABLE,
) -> None:
    """Check every message, conversation and key against the pipeline's promises; exit code 4 if one is broken.

    It reads in small batches and looks three times before it complains, so it may run at any time.
    Example: msgctl verify -o json
    """
    verdict = run_with_session(context, lambda session: session.context.get(InvariantVerification).run())
    if output is RecordFormat.JSON:
        print_json(
            {
                "schema": "msgctl.verdict/1",
                "holds": verdict.holds,
                "messages": verdict.messages,
                "violations": [violation.to_violation() for violation in verdict.violations[:limit]],
                "violated": len(verdict.violations),
                "limit": limit,
            }
        )
    else:
        _print_report(verdict, limit)
    if not verdict.holds:
        raise typer.Exit(EXIT_VIOLATED)


def _print_report(verdict: VerificationReport, limit: int) -> None:
    print_table(["messages", ""], list(verdict.messages.items()))
    if verdict.holds:
        print_note("Every invariant holds.")
        return
    print_table(
        ["invariant", "id", "problem"],
        [list(violation.to_violation().values()) for violation in verdict.violations[:limit]],
    )
    kinds = Counter(violation.code for violation in verdict.violations)
    for name in sorted(kinds):
        print_note(f"{name}: {INVARIANTS[name]}.")
    summary = ", ".join(f"{name}: {count}" for name, count in sorted(kinds.items()))
    print_note(f"msgctl: {pluralize(len(verdict.violations), 'violation')} ({summary}).")
