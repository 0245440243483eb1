"""`msgctl queue`: counts, health, cleaning."""

import time
from enum import StrEnum
from typing import Annotated, Any

import msgspec
import typer

from msgctl.cli._confirm import confirm
from msgctl.cli._noun import noun
from msgctl.cli._output import RecordOutput, RecordShape, note, print_json, print_record, print_table
from msgctl.cli._session import Session, run
from msgctl.cli._time import parse_duration
from msgctl.errors import NothingMatched
from msgctl.messages import State
from msgctl.operations import Health

app = noun("Counts and health of the queue; clean it.")

VIOLATED = 4


class Over(StrEnum):
    """The states that `clean` may remove."""

    COMPLETED = "completed"
    FAILED = "failed"


@app.command(epilog="Example: msgctl queue stats -o json")
def stats(context: typer.Context, output: RecordOutput = RecordShape.TABLE) -> None:
    """How many messages are in which state."""
    counts = run(context, lambda session: session.operations.stats())
    print_record(msgspec.to_builtins(counts), output, schema="msgctl.stats/1")


@app.command(epilog="Example: msgctl queue health && echo fine")
def health(context: typer.Context, output: RecordOutput = RecordShape.TABLE) -> None:
    """Whether the pipeline works, and every reason why not; exit code 4 when it does not."""
    verdict = run(context, lambda session: session.operations.health())
    if output is RecordShape.JSON:
        print_json({"schema": "msgctl.health/1", **msgspec.to_builtins(verdict)})
    else:
        _draw(verdict)
    if not verdict.healthy:
        raise typer.Exit(VIOLATED if verdict.stats else 69)


@app.command(epilog="Example: msgctl queue clean --state completed --older-than 7d --dry-run")
def clean(
    context: typer.Context,
    *,
    state: Annotated[Over, typer.Option(help="Which messages: those that are over, one way or the other.")],
    older_than: Annotated[
        str, typer.Option(metavar="DURATION", help="Only what ended longer ago than that: 12h, 7d.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    output: RecordOutput = RecordShape.TABLE,
) -> None:
    """Forget messages that ended long ago; they are counted first, and removed in batches."""
    before = round((time.time() - parse_duration(older_than)) * 1000)
    outcome = run(
        context, lambda session: _clean(session, State(state), before, dry_run=dry_run, yes=yes, output=output)
    )
    print_record(outcome, output, schema="msgctl.clean/1")


async def _clean(
    session: Session, state: Any, before: int, *, dry_run: bool, yes: bool, output: RecordShape
) -> dict[str, Any]:
    cleaning = session.operations.cleaning
    found = await cleaning.count(state, before)
    if not found:
        raise NothingMatched(f"No {state} message ended before that.")
    removed = 0
    if not dry_run:
        question = f"{found} {state} messages will be forgotten for good."
        confirm(question, yes=yes, machine=output is RecordShape.JSON)
        async for count in cleaning.remove(state, before):
            removed += count
    return {"state": str(state), "matched": found, "removed": removed, "dryRun": dry_run}


def _draw(verdict: Health) -> None:
    if verdict.stats:
        print_table([], list(msgspec.to_builtins(verdict.stats).items()))
    for reason in verdict.reasons:
        note(f"msgctl: {reason.message}")
    if verdict.healthy:
        note("healthy")
