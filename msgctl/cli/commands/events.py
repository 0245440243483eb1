"""`msgctl events`: read the ledger, and rebuild or restore messages from it."""

import asyncio
from typing import Annotated, Any

import typer

from msgctl.cli.framework.bulk import OUTCOME_COLUMNS, outcome_records
from msgctl.cli.framework.confirm import confirm
from msgctl.cli.framework.help import make_noun_group
from msgctl.cli.framework.options import (
    DryRunOption,
    FollowOption,
    ListLimitOption,
    OutputFormat,
    OutputOption,
    YesOption,
)
from msgctl.cli.framework.output import print_json, print_listing, print_note, print_text
from msgctl.cli.framework.session import CommandSession, run_with_session
from msgctl.cli.framework.times import format_rfc3339
from msgctl.cli.views.trace import format_event
from msgctl.domain.errors import Incomplete
from msgctl.domain.plural import pluralize
from msgctl.ledger.event import Event
from msgctl.ledger.stream import Ledger
from msgctl.operations.ledger_restore import LedgerRestore, RestoreOutcome

app = make_noun_group("Read the ledger, and restore from it.")

COLUMNS = {"at": "time", "messageId": "id", "what": "what", "actor": "by", "facts": ""}
FOLLOW_POLL_INTERVAL_S = 0.5


@app.command("list", epilog="Example: msgctl events list --follow")
def list_events(
    context: typer.Context,
    *,
    limit: ListLimitOption = 50,
    follow: FollowOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """List the newest events, oldest first."""
    if follow:
        run_with_session(context, lambda session: _follow(session, limit, output))
        return
    events = run_with_session(context, lambda session: Ledger(session.context.redis).read_newest(limit))
    print_listing(
        [_event_record(event) for event in events],
        output,
        schema="msgctl.event/1",
        columns=COLUMNS,
        key="messageId",
    )


@app.command(epilog="Example: msgctl events rebuild --dry-run")
def rebuild(
    context: typer.Context,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="No effect. This command never writes.")] = False,  # noqa: ARG001 - see its help
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Compare each message in Redis with its events, and print the differences. Exit code 4 if there are any."""
    count, differences = run_with_session(context, lambda session: session.context.get(LedgerRestore).compare())
    print_listing(
        [
            {"messageId": difference.message_id, "rebuilt": difference.rebuilt, "live": difference.live}
            for difference in differences
        ],
        output,
        schema="msgctl.difference/1",
        columns={"messageId": "id", "rebuilt": "by its events", "live": "in Redis"},
        key="messageId",
        extra={"compared": count},
    )
    print_note(f"{pluralize(count, 'message')} compared, {len(differences)} differ")
    if differences:
        raise Incomplete(f"{pluralize(len(differences), 'message differs', 'messages differ')} from the ledger.")


@app.command(epilog="Example: msgctl events restore --dry-run")
def restore(
    context: typer.Context,
    *,
    dry_run: DryRunOption = False,
    doubtful: Annotated[
        bool, typer.Option("--doubtful", help="Include messages whose reply may have been sent.")
    ] = False,
    yes: YesOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Accept unfinished messages again after Redis has lost its data."""
    if not dry_run:
        text = "Unfinished messages that Redis has lost will be accepted again."
        confirm(text, yes=yes, machine=output is not OutputFormat.TABLE)
    outcomes = run_with_session(context, lambda session: _restore(session, dry_run=dry_run, doubtful=doubtful))
    shown = {result.message_id: result.outcome for result in outcomes if result.outcome != "present"}
    print_listing(
        outcome_records(shown), output, schema="msgctl.restored/1", columns=OUTCOME_COLUMNS, key="messageId"
    )
    doubtful_count = sum(outcome == "doubtful" for outcome in shown.values())
    if doubtful_count:
        print_note(f"{doubtful_count} may have been answered and were skipped. --doubtful includes them.")


async def _restore(session: CommandSession, *, dry_run: bool, doubtful: bool) -> list[RestoreOutcome]:
    restoring = session.context.get(LedgerRestore).restore(dry_run=dry_run, doubtful=doubtful)
    return [result async for result in restoring]


async def _follow(session: CommandSession, limit: int, output: OutputFormat) -> None:
    ledger = Ledger(session.context.redis)
    events = await ledger.read_newest(limit)
    after = events[-1].entry if events else "0-0"
    while True:
        for event in events:
            _print_event(event, output)
        await asyncio.sleep(FOLLOW_POLL_INTERVAL_S if not events else 0)
        events = await ledger.read_after(after)
        after = events[-1].entry if events else after


def _print_event(event: Event, output: OutputFormat) -> None:
    row = _event_record(event)
    if output is OutputFormat.IDS:
        print_text(event.message_id)
    elif output is OutputFormat.TABLE:
        print_text(f"{row['at']}  {event.message_id}  {format_event(event)}")
    else:
        print_json({"schema": "msgctl.event/1", **row})


def _event_record(event: Event) -> dict[str, Any]:
    return {
        "at": format_rfc3339(event.position[0]),
        "entry": event.entry,
        "messageId": event.message_id,
        "conversationId": event.conversation_id,
        "what": event.what,
        "actor": event.actor,
        "evidence": event.evidence,
        "facts": " ".join(f"{name}={value}" for name, value in event.evidence.items()),
    }
