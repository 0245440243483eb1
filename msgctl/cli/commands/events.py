"""`msgctl events`: the ledger of every message."""

import asyncio
from typing import Annotated, Any

import typer

from msgctl.cli.framework.confirm import confirm
from msgctl.cli.framework.groups import make_noun_group
from msgctl.cli.framework.output import (
    OutputFormat,
    OutputOption,
    print_json,
    print_listing,
    print_note,
    print_text,
)
from msgctl.cli.framework.session import CommandSession, run_with_session
from msgctl.cli.framework.times import format_rfc3339
from msgctl.cli.views.trace import format_event
from msgctl.domain.errors import Incomplete
from msgctl.domain.plural import pluralize
from msgctl.ledger.event import Event
from msgctl.ledger.stream import Ledger
from msgctl.operations.ledger_restore import LedgerRestore, RestoreOutcome

app = make_noun_group("The ledger: what happened to every message.")

COLUMNS = {"at": "time", "messageId": "id", "what": "what", "actor": "by", "facts": ""}
FOLLOW_POLL_INTERVAL_S = 0.5


@app.command("list", epilog="Example: msgctl events list --follow")
def list_events(
    context: typer.Context,
    *,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many of the newest.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes; Ctrl-C ends it.")] = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """The newest events, oldest first."""
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
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Said for clearness: it never writes.")] = False,  # noqa: ARG001 - see its help
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Rebuild the state of every message from its events, and print where Redis differs; exit 4 if it does."""
    count, differences = run_with_session(context, lambda session: session.context.get(LedgerRestore).compare())
    print_listing(
        [{"messageId": one.message_id, "rebuilt": one.rebuilt, "live": one.live} for one in differences],
        output,
        schema="msgctl.difference/1",
        columns={"messageId": "id", "rebuilt": "by its events", "live": "in Redis"},
        key="messageId",
        extra={"compared": count},
    )
    print_note(f"{pluralize(count, 'message')} compared, {len(differences)} differ")
    if differences:
        raise Incomplete(
            f"{pluralize(len(differences), 'message is', 'messages are')} elsewhere than the ledger says."
        )


@app.command(epilog="Example: msgctl events restore --dry-run")
def restore(
    context: typer.Context,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    doubtful: Annotated[
        bool, typer.Option("--doubtful", help="Also those whose reply may have been sent already.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Feed a Redis that lost everything the messages that were accepted and have not ended."""
    if not dry_run:
        text = "Unfinished messages that Redis does not know will be accepted again."
        confirm(text, yes=yes, machine=output is not OutputFormat.TABLE)
    outcomes = run_with_session(context, lambda session: _restore(session, dry_run=dry_run, doubtful=doubtful))
    shown = [one for one in outcomes if one.outcome != "present"]
    print_listing(
        [{"messageId": one.message_id, "outcome": one.outcome} for one in shown],
        output,
        schema="msgctl.restored/1",
        columns={"messageId": "id", "outcome": "outcome"},
        key="messageId",
    )
    left = sum(one.outcome == "doubtful" for one in shown)
    if left:
        print_note(f"{left} may have been answered already and were left; --doubtful takes them too")


async def _restore(session: CommandSession, *, dry_run: bool, doubtful: bool) -> list[RestoreOutcome]:
    rebuilding = session.context.get(LedgerRestore)
    return [one async for one in rebuilding.restore(dry_run=dry_run, doubtful=doubtful)]


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
