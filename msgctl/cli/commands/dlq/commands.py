"""`msgctl dlq`: the dead letters."""

from typing import Annotated, Any

import msgspec
import typer

from msgctl.cli.commands.dlq import files, replay
from msgctl.cli.framework.audit import record_action
from msgctl.cli.framework.completion import complete_ids
from msgctl.cli.framework.confirm import confirm
from msgctl.cli.framework.groups import make_noun_group
from msgctl.cli.framework.output import (
    OutputFormat,
    OutputOption,
    RecordFormat,
    RecordOutputOption,
    print_listing,
    print_note,
    print_record,
)
from msgctl.cli.framework.query import (
    AllOption,
    DryRunOption,
    IdsArgument,
    LimitOption,
    ReasonOption,
    YesOption,
    dead_letter_query,
    is_unrestricted,
    name_missing_message,
    select_messages,
)
from msgctl.cli.framework.session import CommandSession, run_with_session
from msgctl.cli.framework.times import format_age, format_rfc3339
from msgctl.cli.views.message import message_view
from msgctl.domain.errors import Incomplete, NotFound
from msgctl.domain.messages import State
from msgctl.domain.plural import pluralize
from msgctl.operations.dead_letters.groups import DeadLetterGroup, DeadLetterGrouper
from msgctl.operations.dead_letters.letters import DeadLetters
from msgctl.operations.messages.lookup import Messages
from msgctl.operations.messages.query import Query
from msgctl.operations.messages.search import SEARCH_WINDOW, MessageSearch, Summary

app = make_noun_group("The dead letters: list, group, replay, edit, drop them.")

COLUMNS = {"messageId": "id", "when": "failed", "what": "error"}
GROUP_COLUMNS = {
    "group": "group",
    "count": "count",
    "signature": "error",
    "first": "first",
    "last": "last",
    "channels": "channels",
    "agents": "agents",
}


@app.command("list", epilog="Example: msgctl dlq list --channel whatsapp --since 2h")
@dead_letter_query
def list_dead_letters(
    context: typer.Context,
    query: Query,
    *,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 100,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """The dead letters, newest first; a query looks at the newest 10,000 or so."""
    found = run_with_session(context, lambda session: session.context.get(MessageSearch).newest(query, limit))
    if output is OutputFormat.TABLE and found.total > found.looked_at and not is_unrestricted(query):
        print_note(f"The newest {found.looked_at} of {found.total} dead letters were looked at.")
    elif output is OutputFormat.TABLE and is_unrestricted(query) and found.total > len(found.items):
        print_note(f"The newest {len(found.items)} of {found.total}; --limit shows more.")
    shape = _table_record if output is OutputFormat.TABLE else _json_record
    print_listing(
        [shape(letter) for letter in found.items],
        output,
        schema="msgctl.dead-letter/1",
        columns=COLUMNS,
        key="messageId",
        extra={"total": found.total, "limit": limit, "lookedAt": found.looked_at, "window": SEARCH_WINDOW},
    )


@app.command(epilog="Example: msgctl dlq show 0b9e7c2e-6a51-4f0e-9b51-8f4f0f6f7a10")
def show(
    context: typer.Context,
    message_id: Annotated[str, typer.Argument(metavar="ID", help="The dead letter.", autocompletion=complete_ids)],
    output: RecordOutputOption = RecordFormat.TABLE,
) -> None:
    """Everything known of one dead letter, with each of its attempts."""
    found = run_with_session(
        context, lambda session: name_missing_message(message_id, session.context.get(Messages).show(message_id))
    )
    if found["state"] != State.FAILED:
        raise NotFound(f"It is no dead letter: it is {found['state']}. See: msgctl message show {message_id}")
    record = {**found, "reply": None, "finishedAt": format_rfc3339(found["finishedOn"])}
    print_record(
        message_view(found) if output is RecordFormat.TABLE else record, output, schema="msgctl.message/1"
    )


@app.command(epilog="Example: msgctl dlq groups --since 1d")
@dead_letter_query
def groups(context: typer.Context, query: Query, output: OutputOption = OutputFormat.TABLE) -> None:
    """The dead letters by what went wrong, the most frequent first; all of them are looked at."""
    found = run_with_session(context, lambda session: session.context.get(DeadLetterGrouper).group_all(query))
    shape = _group_table_record if output is OutputFormat.TABLE else _group_json_record
    records = [shape(group) for group in found]
    print_listing(records, output, schema="msgctl.dead-group/1", columns=GROUP_COLUMNS, key="group")
    if output is OutputFormat.TABLE and records:
        print_note(f"See one:    msgctl dlq show {found[0].sample}")
        print_note(f"Replay all: msgctl dlq replay --group {found[0].group} --dry-run")


@app.command(epilog="Example: msgctl dlq drop --group 3f2a91c0 --until 7d --dry-run")
@dead_letter_query
def drop(
    context: typer.Context,
    query: Query,
    ids: IdsArgument = None,
    *,
    every: AllOption = False,
    limit: LimitOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    reason: ReasonOption = "",
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Forget dead letters for good. There is no undo: `dlq export` keeps a copy."""
    outcomes = run_with_session(
        context,
        lambda session: _drop(
            session, ids, query, every=every, limit=limit, dry_run=dry_run, yes=yes, reason=reason, output=output
        ),
    )
    columns = {"messageId": "id", "outcome": "outcome"}
    print_listing(outcomes, output, schema="msgctl.drop/1", columns=columns, key="messageId")
    left = [outcome for outcome in outcomes if outcome["outcome"] != "dropped"]
    if left and not dry_run:
        raise Incomplete(
            f"{len(left)} of {len(outcomes)} were not dropped: they are no dead letters, or still to be told."
        )


async def _drop(
    session: CommandSession,
    ids: list[str] | None,
    query: Query,
    *,
    every: bool,
    limit: int | None,
    dry_run: bool,
    yes: bool,
    reason: str,
    output: OutputFormat,
) -> list[dict[str, Any]]:
    letters = session.context.get(DeadLetters)
    found = [item.message_id for item in await select_messages(session, ids, query, every=every, limit=limit)]
    missing = {message_id: "missing" for message_id in ids or () if message_id not in found}
    if dry_run:
        may = await letters.droppable(found)
        return _records_in_order(ids, {one: "would_drop" if may[one] else "kept" for one in found} | missing)
    question = f"{pluralize(len(found), 'dead letter')} will be forgotten for good."
    confirm(question, yes=yes, machine=output is not OutputFormat.TABLE)
    gone = await letters.drop_many(found)
    dropped = [message_id for message_id in found if gone[message_id]]
    await record_action(session, "dlq drop", dropped, reason=reason, query=query)
    return _records_in_order(ids, {one: "dropped" if gone[one] else "kept" for one in found} | missing)


def _records_in_order(ids: list[str] | None, outcomes: dict[str, str]) -> list[dict[str, Any]]:
    """A record each, in the order that was typed if any was."""
    return [{"messageId": one, "outcome": outcomes[one]} for one in dict.fromkeys(ids or outcomes)]


def _group_table_record(group: DeadLetterGroup) -> dict[str, Any]:
    return {
        "group": group.group,
        "count": group.count,
        "signature": group.signature,
        "first": format_age(group.first_seen),
        "last": format_age(group.last_seen),
        "channels": ", ".join(group.channels),
        "agents": len(group.agents),
    }


def _group_json_record(group: DeadLetterGroup) -> dict[str, Any]:
    times = {"firstSeenAt": format_rfc3339(group.first_seen), "lastSeenAt": format_rfc3339(group.last_seen)}
    return {**msgspec.to_builtins(group), **times}


def _table_record(letter: Summary) -> dict[str, Any]:
    error = letter.error or {}
    return {
        **letter.to_record(),
        "when": format_age(letter.at),
        "what": f"{error.get('code', 'unknown')}: {error.get('text', '')}",
    }


def _json_record(letter: Summary) -> dict[str, Any]:
    return {**letter.to_record(), "finishedAt": format_rfc3339(letter.finished_on)}


app.command(epilog="Example: msgctl dlq replay --group 3f2a91c0 --canary 5 --rate 5/s --stop-on-errors 20%")(
    dead_letter_query(replay.replay)
)
app.command(epilog="Example: msgctl dlq edit ID --text 'a text that n8n takes'")(files.edit)
app.command(epilog="Example: msgctl dlq export --since 1d > letters.jsonl")(dead_letter_query(files.export))
app.command("import", epilog="Example: msgctl dlq import letters.jsonl")(files.import_dead_letters)
