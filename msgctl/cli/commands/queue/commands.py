"""`msgctl queue`: counts, health, cleaning."""

import asyncio
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from msgctl.cli.commands.queue import verbs
from msgctl.cli.framework.audit import record_action
from msgctl.cli.framework.confirm import confirm
from msgctl.cli.framework.context import global_options_of
from msgctl.cli.framework.groups import make_noun_group
from msgctl.cli.framework.output import (
    RecordFormat,
    RecordOutputOption,
    print_json,
    print_note,
    print_record,
    print_table,
    print_text,
)
from msgctl.cli.framework.query import ReasonOption
from msgctl.cli.framework.session import CommandSession, missing_config_hint, run_with_session
from msgctl.domain.errors import NothingMatched
from msgctl.domain.messages import State
from msgctl.domain.plural import pluralize
from msgctl.domain.times import parse_duration

if TYPE_CHECKING:
    from msgctl.operations.checks.health import Health

app = make_noun_group("Counts and health of the queue; clean it.")

EXIT_VIOLATED = 4


class CleanableState(StrEnum):
    """The states that `clean` may remove."""

    COMPLETED = "completed"
    FAILED = "failed"


@app.command(epilog="Example: msgctl queue stats -o json")
def stats(
    context: typer.Context,
    *,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Again and again, until Ctrl-C.")] = False,
    interval: Annotated[float, typer.Option(min=0.2, max=3600, help="Seconds between two looks.")] = 2.0,
    output: RecordOutputOption = RecordFormat.TABLE,
) -> None:
    """How many messages are in which state."""

    async def body(session: CommandSession) -> None:
        while True:
            counts = await session.context.queue.stats()
            print_record(msgspec.to_builtins(counts), output, schema="msgctl.stats/1")
            if not watch:
                return
            await asyncio.sleep(interval)
            if output is RecordFormat.TABLE:
                print_text("")

    run_with_session(context, body)


@app.command(epilog="Example: msgctl queue health --strict && echo fine")
def health(
    context: typer.Context,
    *,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Unhealthy, too: a paused queue, an open breaker, something unworkable."),
    ] = False,
    output: RecordOutputOption = RecordFormat.TABLE,
) -> None:
    """Whether the pipeline works, and every reason why not; exit code 4 when it does not."""
    from msgctl.operations.checks.health import HealthCheck  # noqa: PLC0415 - `queue stats` does not need it

    verdict = run_with_session(context, lambda session: session.context.get(HealthCheck).run(strict=strict))
    if output is RecordFormat.JSON:
        print_json({"schema": "msgctl.health/1", **msgspec.to_builtins(verdict)})
    else:
        if verdict.stats is None and (
            forgotten := missing_config_hint(global_options_of(context).load_with_origins())
        ):
            print_note(f"msgctl: {forgotten.rstrip()}")
        _print_health(verdict)
    if not verdict.healthy:
        raise typer.Exit(EXIT_VIOLATED if verdict.stats else 69)


@app.command(epilog="Example: msgctl queue clean --state completed --older-than 7d --dry-run")
def clean(
    context: typer.Context,
    *,
    state: Annotated[
        CleanableState, typer.Option(help="Which messages: those that are over, one way or the other.")
    ],
    older_than: Annotated[
        str, typer.Option(metavar="DURATION", help="Only what ended longer ago than that: 12h, 7d.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    reason: ReasonOption = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    output: RecordOutputOption = RecordFormat.TABLE,
) -> None:
    """Forget messages that ended long ago; they are counted first, and removed in batches."""
    before = round((time.time() - parse_duration(older_than)) * 1000)
    outcome = run_with_session(
        context,
        lambda session: _clean(
            session, State(state), before, dry_run=dry_run, yes=yes, output=output, reason=reason
        ),
    )
    print_record(outcome, output, schema="msgctl.clean/1")


async def _clean(
    session: CommandSession,
    state: Any,
    before: int,
    *,
    dry_run: bool,
    yes: bool,
    output: RecordFormat,
    reason: str,
) -> dict[str, Any]:
    from msgctl.operations.messages.purge import MessagePurger  # noqa: PLC0415 - `queue stats` does not need it

    cleaning = session.context.get(MessagePurger)
    found = await cleaning.count(state, before)
    if not found:
        raise NothingMatched(f"No {state} message ended before that.")
    removed = 0
    if not dry_run:
        question = f"{pluralize(found, f'{state} message')} will be forgotten for good."
        confirm(question, yes=yes, machine=output is RecordFormat.JSON)
        async for count in cleaning.remove(state, before):
            removed += count
        await record_action(
            session, "queue clean", reason=reason, before={str(state): found}, after={"removed": removed}
        )
    return {"state": str(state), "matched": found, "removed": removed, "dryRun": dry_run}


def _print_health(verdict: "Health") -> None:
    if verdict.stats:
        print_table([], list(msgspec.to_builtins(verdict.stats).items()))
    for reason in verdict.reasons:
        print_note(f"msgctl: {reason.message}")
    if verdict.healthy:
        print_note("healthy")


app.command("list", epilog="Example: msgctl queue list")(verbs.list_queues)
app.command(epilog="Example: msgctl queue pause --priority 7 --priority 8 --reason 'n8n is slow'")(verbs.pause)
app.command(epilog="Example: msgctl queue resume")(verbs.resume)
app.command(epilog="Example: msgctl queue drain --wait --timeout 10m")(verbs.drain)
