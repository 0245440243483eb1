"""`msgctl queue`: counts, health, cleaning."""

import asyncio
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from msgctl.cli import _queue_verbs
from msgctl.cli._acts import note_act
from msgctl.cli._confirm import confirm
from msgctl.cli._context import context_of
from msgctl.cli._noun import noun
from msgctl.cli._output import RecordOutput, RecordShape, note, print_json, print_record, print_table, print_text
from msgctl.cli._query import Reason
from msgctl.cli._session import Session, run, where_it_was_looked
from msgctl.durations import parse_duration
from msgctl.errors import NothingMatched
from msgctl.messages import State
from msgctl.operations.counting import counted

if TYPE_CHECKING:
    from msgctl.operations.health import Health

app = noun("Counts and health of the queue; clean it.")

VIOLATED = 4


class Over(StrEnum):
    """The states that `clean` may remove."""

    COMPLETED = "completed"
    FAILED = "failed"


@app.command(epilog="Example: msgctl queue stats -o json")
def stats(
    context: typer.Context,
    *,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Again and again, until Ctrl-C.")] = False,
    interval: Annotated[float, typer.Option(min=0.2, max=3600, help="Seconds between two looks.")] = 2.0,
    output: RecordOutput = RecordShape.TABLE,
) -> None:
    """How many messages are in which state."""

    async def body(session: Session) -> None:
        while True:
            counts = await session.operations.stats()
            print_record(msgspec.to_builtins(counts), output, schema="msgctl.stats/1")
            if not watch:
                return
            await asyncio.sleep(interval)
            if output is RecordShape.TABLE:
                print_text("")

    run(context, body)


@app.command(epilog="Example: msgctl queue health --strict && echo fine")
def health(
    context: typer.Context,
    *,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Unhealthy, too: a paused queue, an open breaker, something unworkable."),
    ] = False,
    output: RecordOutput = RecordShape.TABLE,
) -> None:
    """Whether the pipeline works, and every reason why not; exit code 4 when it does not."""
    verdict = run(context, lambda session: _examine(session, strict=strict))
    if output is RecordShape.JSON:
        print_json({"schema": "msgctl.health/1", **msgspec.to_builtins(verdict)})
    else:
        if verdict.stats is None and (forgotten := where_it_was_looked(context_of(context).load_with_origins())):
            note(f"msgctl: {forgotten.rstrip()}")
        _draw(verdict)
    if not verdict.healthy:
        raise typer.Exit(VIOLATED if verdict.stats else 69)


async def _examine(session: Session, *, strict: bool) -> "Health":
    verdict = await session.operations.health()
    if not strict or verdict.stats is None:
        return verdict
    reasons = [*verdict.reasons, *await session.operations.doubts.read()]
    return msgspec.structs.replace(verdict, healthy=not reasons, reasons=reasons)


@app.command(epilog="Example: msgctl queue clean --state completed --older-than 7d --dry-run")
def clean(
    context: typer.Context,
    *,
    state: Annotated[Over, typer.Option(help="Which messages: those that are over, one way or the other.")],
    older_than: Annotated[
        str, typer.Option(metavar="DURATION", help="Only what ended longer ago than that: 12h, 7d.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    reason: Reason = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    output: RecordOutput = RecordShape.TABLE,
) -> None:
    """Forget messages that ended long ago; they are counted first, and removed in batches."""
    before = round((time.time() - parse_duration(older_than)) * 1000)
    outcome = run(
        context,
        lambda session: _clean(
            session, State(state), before, dry_run=dry_run, yes=yes, output=output, reason=reason
        ),
    )
    print_record(outcome, output, schema="msgctl.clean/1")


async def _clean(
    session: Session, state: Any, before: int, *, dry_run: bool, yes: bool, output: RecordShape, reason: str
) -> dict[str, Any]:
    cleaning = session.operations.cleaning
    found = await cleaning.count(state, before)
    if not found:
        raise NothingMatched(f"No {state} message ended before that.")
    removed = 0
    if not dry_run:
        question = f"{counted(found, f'{state} message')} will be forgotten for good."
        confirm(question, yes=yes, machine=output is RecordShape.JSON)
        async for count in cleaning.remove(state, before):
            removed += count
        await note_act(
            session, "queue clean", reason=reason, before={str(state): found}, after={"removed": removed}
        )
    return {"state": str(state), "matched": found, "removed": removed, "dryRun": dry_run}


def _draw(verdict: "Health") -> None:
    if verdict.stats:
        print_table([], list(msgspec.to_builtins(verdict.stats).items()))
    for reason in verdict.reasons:
        note(f"msgctl: {reason.message}")
    if verdict.healthy:
        note("healthy")


app.command("list", epilog="Example: msgctl queue list")(_queue_verbs.list_queues)
app.command(epilog="Example: msgctl queue pause --priority 7 --priority 8 --reason 'n8n is slow'")(
    _queue_verbs.pause
)
app.command(epilog="Example: msgctl queue resume")(_queue_verbs.resume)
app.command(epilog="Example: msgctl queue drain --wait --timeout 10m")(_queue_verbs.drain)
