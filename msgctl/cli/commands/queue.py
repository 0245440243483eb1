"""`msgctl queue`: show, check, pause, resume, drain, and clean the ten priorities of the queue."""

import asyncio
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import typer

from msgctl.cli.framework.audit import record_action
from msgctl.cli.framework.confirm import confirm
from msgctl.cli.framework.context import global_options_of
from msgctl.cli.framework.exit import EXIT_VIOLATED
from msgctl.cli.framework.help import make_noun_group
from msgctl.cli.framework.options import (
    DryRunOption,
    OutputFormat,
    OutputOption,
    ReasonOption,
    RecordFormat,
    RecordOutputOption,
    TimeoutOption,
    WatchOption,
    YesOption,
)
from msgctl.cli.framework.output import (
    print_json,
    print_listing,
    print_note,
    print_record,
    print_table,
    print_text,
)
from msgctl.cli.framework.query import accepts_yes
from msgctl.cli.framework.session import CommandSession, missing_config_hint, run_with_session
from msgctl.domain.errors import NothingMatched, TryLater
from msgctl.domain.messages import PRIORITIES, State
from msgctl.domain.plural import pluralize
from msgctl.domain.times import format_duration, parse_duration
from msgctl.storage.redis.keys import queue_name

if TYPE_CHECKING:
    from msgctl.operations.checks.health import Health

app = make_noun_group("Show, check, pause, resume, drain, and clean the queue.")

EXIT_UNAVAILABLE = 69
DRAIN_POLL_INTERVAL_S = 0.5
COLUMNS = {
    "queue": "queue",
    "waiting": "waiting",
    "active": "active",
    "delayed": "delayed",
    "oldest": "oldest",
    "paused": "paused",
}
PrioritiesOption = Annotated[
    list[int] | None,
    typer.Option("--priority", min=1, max=10, help="Only this priority. Repeat it for several. Default: all."),
]


class CleanableState(StrEnum):
    """The states that `clean` may remove."""

    COMPLETED = "completed"
    FAILED = "failed"


ENDED_STATES: dict[CleanableState, Literal[State.COMPLETED, State.FAILED]] = {
    CleanableState.COMPLETED: State.COMPLETED,
    CleanableState.FAILED: State.FAILED,
}


@app.command(epilog="Example: msgctl queue stats -o json")
def stats(
    context: typer.Context,
    *,
    watch: WatchOption = False,
    interval: Annotated[float, typer.Option(min=0.2, max=3600, help="Seconds between two repetitions.")] = 2.0,
    output: RecordOutputOption = RecordFormat.TABLE,
) -> None:
    """Count the messages in each state."""

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
        typer.Option(
            "--strict", help="Also fail for a paused queue, an open circuit breaker, or an unreadable job."
        ),
    ] = False,
    output: RecordOutputOption = RecordFormat.TABLE,
) -> None:
    """Check whether the pipeline works, and list each reason if it does not. Exit code 4 if it is unhealthy."""
    from msgctl.operations.checks.health import HealthCheck  # noqa: PLC0415 - `queue stats` does not need it

    result = run_with_session(context, lambda session: session.context.get(HealthCheck).run(strict=strict))
    if output is RecordFormat.JSON:
        print_json({"schema": "msgctl.health/1", **msgspec.to_builtins(result)})
    else:
        if result.stats is None and (hint := missing_config_hint(global_options_of(context).load_with_origins())):
            print_note(f"msgctl: {hint.rstrip()}")
        _print_health(result)
    if not result.healthy:
        raise typer.Exit(EXIT_VIOLATED if result.stats else EXIT_UNAVAILABLE)


@app.command(epilog="Example: msgctl queue clean --state completed --older-than 7d --dry-run")
def clean(
    context: typer.Context,
    *,
    state: Annotated[CleanableState, typer.Option(help="The state of the messages.")],
    older_than: Annotated[
        str, typer.Option(metavar="DURATION", help="Only messages that ended longer ago than this: 12h, 7d.")
    ],
    dry_run: DryRunOption = False,
    reason: ReasonOption = "",
    yes: YesOption = False,
    output: RecordOutputOption = RecordFormat.TABLE,
) -> None:
    """Delete messages that ended long ago. It counts them first, then deletes them in batches."""
    before = round((time.time() - parse_duration(older_than)) * 1000)

    async def body(session: CommandSession) -> dict[str, Any]:
        from msgctl.operations.messages.purge import MessagePurger  # noqa: PLC0415 - `queue stats` does not need it

        purger, ended = session.context.get(MessagePurger), ENDED_STATES[state]
        matched, removed = await purger.count(ended, before), 0
        if not matched:
            raise NothingMatched(f"No {state} message ended before that.")
        if not dry_run:
            question = f"{pluralize(matched, f'{state} message')} will be deleted for good."
            confirm(question, yes=yes, machine=output is RecordFormat.JSON)
            async for count in purger.remove(ended, before):
                removed += count
            await record_action(
                session, "queue clean", reason=reason, before={str(state): matched}, after={"removed": removed}
            )
        return {"state": str(state), "matched": matched, "removed": removed, "dryRun": dry_run}

    print_record(run_with_session(context, body), output, schema="msgctl.clean/1")


@app.command("list", epilog="Example: msgctl queue list")
def list_queues(context: typer.Context, output: OutputOption = OutputFormat.TABLE) -> None:
    """List the ten priorities: their counts, the wait of the oldest message, and whether they are paused."""

    async def body(session: CommandSession) -> list[dict[str, Any]]:
        from msgctl.operations.dashboard.overview import Overview  # noqa: PLC0415 - only this verb needs it

        snapshot = await session.context.get(Overview).read()
        paused = await session.context.queue.list_paused()
        return [
            {
                "queue": queue_name(row.priority),
                "priority": row.priority,
                "waiting": row.waiting,
                "active": row.active,
                "delayed": row.delayed,
                "oldestSeconds": row.oldest,
                "oldest": format_duration(row.oldest) if row.oldest is not None else None,
                "paused": queue_name(row.priority) in paused,
            }
            for row in snapshot.priorities
        ]

    print_listing(run_with_session(context, body), output, schema="msgctl.queue/1", columns=COLUMNS, key="queue")


@app.command(epilog="Example: msgctl queue pause --priority 7 --priority 8 --reason 'n8n is slow'")
@accepts_yes
def pause(context: typer.Context, priority: PrioritiesOption = None, *, reason: ReasonOption = "") -> None:
    """Stop workers from taking messages. Running messages finish, and new ones are still accepted."""
    run_with_session(context, lambda session: _pause_or_resume(session, "queue pause", priority or [], reason))


@app.command(epilog="Example: msgctl queue resume")
@accepts_yes
def resume(context: typer.Context, priority: PrioritiesOption = None, *, reason: ReasonOption = "") -> None:
    """Let workers take messages again."""
    run_with_session(context, lambda session: _pause_or_resume(session, "queue resume", priority or [], reason))


@app.command(epilog="Example: msgctl queue drain --wait --timeout 10m")
def drain(
    context: typer.Context,
    *,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until the queue is empty. Exit code 75 if it is not in time.")
    ] = False,
    timeout: TimeoutOption = "5m",
) -> None:
    """Count the messages that have not ended, and with `--wait` wait for them.

    It does not stop senders. Pause them, or stop the gateway, first.
    """
    timeout_s = parse_duration(timeout)

    async def body(session: CommandSession) -> None:
        deadline, reported = time.monotonic() + timeout_s, ""
        while True:
            stats = await session.context.queue.stats()
            left = stats.waiting + stats.active + stats.delayed + stats.paused
            text = f"{left} to do: {stats.waiting} waiting, {stats.active} active, {stats.delayed} delayed"
            text += f", {stats.paused} paused" if stats.paused else ""
            if text != reported:
                print_note(text)
                reported = text
            if not left or not wait:
                return
            if time.monotonic() > deadline:
                raise TryLater(
                    f"After {timeout_s:g} s {pluralize(left, 'message has', 'messages have')} not ended."
                )
            await asyncio.sleep(DRAIN_POLL_INTERVAL_S)

    run_with_session(context, body)


def _print_health(result: "Health") -> None:
    if result.stats:
        print_table([], list(msgspec.to_builtins(result.stats).items()))
    for reason in result.reasons:
        print_note(f"msgctl: {reason.message}")
    if result.healthy:
        print_note("healthy")


async def _pause_or_resume(session: CommandSession, act: str, priorities: list[int], reason: str) -> None:
    queue = session.context.queue
    names = [queue_name(priority) for priority in priorities]
    before = await queue.list_paused()
    await (queue.pause if act == "queue pause" else queue.resume)(names)
    after = await queue.list_paused()
    ids = names or [queue_name(priority) for priority in PRIORITIES]
    await record_action(session, act, ids, reason=reason, before=before, after=after)
    print_note(f"paused: {', '.join(after) or 'none'}")
