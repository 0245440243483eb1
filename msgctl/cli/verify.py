"""`msgctl verify`: do the invariants hold, on the live system?"""

from collections import Counter
from typing import Annotated

import msgspec
import typer

from msgctl.cli._output import RecordOutput, RecordShape, note, print_json, print_table
from msgctl.cli._session import run
from msgctl.operations.counting import counted
from msgctl.operations.findings import PROMISES
from msgctl.operations.verification import Verdict

VIOLATED = 4


def verify(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many violations to print.")] = 100,
    output: RecordOutput = RecordShape.TABLE,
) -> None:
    """Check every message, conversation and key against the pipeline's promises; exit code 4 if one is broken.

    It reads in small batches and looks three times before it complains, so it may run at any time.
    Example: msgctl verify -o json
    """
    verdict = run(context, lambda session: session.operations.verification.run())
    if output is RecordShape.JSON:
        shown = msgspec.structs.replace(verdict, violations=verdict.violations[:limit])
        counts = {"violated": len(verdict.violations), "limit": limit}
        print_json({"schema": "msgctl.verdict/1", **msgspec.to_builtins(shown), **counts})
    else:
        _draw(verdict, limit)
    if not verdict.holds:
        raise typer.Exit(VIOLATED)


def _draw(verdict: Verdict, limit: int) -> None:
    print_table(["messages", ""], list(verdict.messages.items()))
    if verdict.holds:
        note("Every invariant holds.")
        return
    print_table(
        ["invariant", "id", "problem"],
        [[one.invariant, one.subject, one.problem] for one in verdict.violations[:limit]],
    )
    kinds = Counter(one.invariant for one in verdict.violations)
    for name in sorted(kinds):
        note(f"{name}: {PROMISES[name]}.")
    summary = ", ".join(f"{name}: {count}" for name, count in sorted(kinds.items()))
    note(f"msgctl: {counted(len(verdict.violations), 'violation')} ({summary}).")
