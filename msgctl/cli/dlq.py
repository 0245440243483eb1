"""`msgctl dlq`: the dead letters."""

from typing import Annotated, Any

import msgspec
import typer

from msgctl.cli import _dlq_files, _dlq_replay
from msgctl.cli._acts import note_act
from msgctl.cli._complete import complete_ids
from msgctl.cli._confirm import confirm
from msgctl.cli._noun import noun
from msgctl.cli._output import Output, RecordOutput, RecordShape, Shape, note, print_listing, print_record
from msgctl.cli._query import DryRun, Every, Ids, Limit, Reason, Yes, choose, is_open, letters, named
from msgctl.cli._session import Session, run
from msgctl.cli._sheet import as_sheet
from msgctl.cli._time import ago, rfc3339
from msgctl.errors import Incomplete, NotFound
from msgctl.messages import State
from msgctl.operations.counting import counted
from msgctl.operations.grouping import DeadGroup
from msgctl.operations.query import Query
from msgctl.operations.selection import WINDOW, Summary

app = noun("The dead letters: list, group, replay, edit, drop them.")

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
@letters
def list_letters(
    context: typer.Context,
    query: Query,
    *,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 100,
    output: Output = Shape.TABLE,
) -> None:
    """The dead letters, newest first; a query looks at the newest 10,000 or so."""
    found = run(context, lambda session: session.operations.selection.newest(query, limit))
    if output is Shape.TABLE and found.total > found.looked_at and not is_open(query):
        note(f"The newest {found.looked_at} of {found.total} dead letters were looked at.")
    elif output is Shape.TABLE and is_open(query) and found.total > len(found.items):
        note(f"The newest {len(found.items)} of {found.total}; --limit shows more.")
    shape = _for_people if output is Shape.TABLE else _for_machines
    print_listing(
        [shape(letter) for letter in found.items],
        output,
        schema="msgctl.dead-letter/1",
        columns=COLUMNS,
        key="messageId",
        extra={"total": found.total, "limit": limit, "lookedAt": found.looked_at, "window": WINDOW},
    )


@app.command(epilog="Example: msgctl dlq show 0b9e7c2e-6a51-4f0e-9b51-8f4f0f6f7a10")
def show(
    context: typer.Context,
    message_id: Annotated[str, typer.Argument(metavar="ID", help="The dead letter.", autocompletion=complete_ids)],
    output: RecordOutput = RecordShape.TABLE,
) -> None:
    """Everything known of one dead letter, with each of its attempts."""
    found = run(context, lambda session: named(message_id, session.operations.messages.show(message_id)))
    if found["state"] != State.FAILED:
        raise NotFound(f"It is no dead letter: it is {found['state']}. See: msgctl message show {message_id}")
    record = {**found, "reply": None, "finishedAt": rfc3339(found["finishedOn"])}
    print_record(as_sheet(found) if output is RecordShape.TABLE else record, output, schema="msgctl.message/1")


@app.command(epilog="Example: msgctl dlq groups --since 1d")
@letters
def groups(context: typer.Context, query: Query, output: Output = Shape.TABLE) -> None:
    """The dead letters by what went wrong, the most frequent first; all of them are looked at."""
    found = run(context, lambda session: session.operations.grouping.read(query))
    shape = _group_for_people if output is Shape.TABLE else _group_for_machines
    records = [shape(group) for group in found]
    print_listing(records, output, schema="msgctl.dead-group/1", columns=GROUP_COLUMNS, key="group")
    if output is Shape.TABLE and records:
        note(f"See one:    msgctl dlq show {found[0].sample}")
        note(f"Replay all: msgctl dlq replay --group {found[0].group} --dry-run")


@app.command(epilog="Example: msgctl dlq drop --group 3f2a91c0 --until 7d --dry-run")
@letters
def drop(
    context: typer.Context,
    query: Query,
    ids: Ids = None,
    *,
    every: Every = False,
    limit: Limit = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    reason: Reason = "",
    output: Output = Shape.TABLE,
) -> None:
    """Forget dead letters for good. There is no undo: `dlq export` keeps a copy."""
    outcomes = run(
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
    session: Session,
    ids: list[str] | None,
    query: Query,
    *,
    every: bool,
    limit: int | None,
    dry_run: bool,
    yes: bool,
    reason: str,
    output: Shape,
) -> list[dict[str, Any]]:
    letters = session.operations.dead_letters
    found = [item.message_id for item in await choose(session, ids, query, every=every, limit=limit)]
    missing = {message_id: "missing" for message_id in ids or () if message_id not in found}
    if dry_run:
        may = await letters.droppable(found)
        return _as_named(ids, {one: "would_drop" if may[one] else "kept" for one in found} | missing)
    question = f"{counted(len(found), 'dead letter')} will be forgotten for good."
    confirm(question, yes=yes, machine=output is not Shape.TABLE)
    gone = await letters.drop_many(found)
    dropped = [message_id for message_id in found if gone[message_id]]
    await note_act(session, "dlq drop", dropped, reason=reason, query=query)
    return _as_named(ids, {one: "dropped" if gone[one] else "kept" for one in found} | missing)


def _as_named(ids: list[str] | None, outcomes: dict[str, str]) -> list[dict[str, Any]]:
    """A record each, in the order that was typed if any was."""
    return [{"messageId": one, "outcome": outcomes[one]} for one in dict.fromkeys(ids or outcomes)]


def _group_for_people(group: DeadGroup) -> dict[str, Any]:
    return {
        "group": group.group,
        "count": group.count,
        "signature": group.signature,
        "first": ago(group.first_seen),
        "last": ago(group.last_seen),
        "channels": ", ".join(group.channels),
        "agents": len(group.agents),
    }


def _group_for_machines(group: DeadGroup) -> dict[str, Any]:
    times = {"firstSeenAt": rfc3339(group.first_seen), "lastSeenAt": rfc3339(group.last_seen)}
    return {**msgspec.to_builtins(group), **times}


def _for_people(letter: Summary) -> dict[str, Any]:
    error = letter.error or {}
    known: dict[str, Any] = msgspec.to_builtins(letter)
    return {**known, "when": ago(letter.at), "what": f"{error.get('code', 'unknown')}: {error.get('text', '')}"}


def _for_machines(letter: Summary) -> dict[str, Any]:
    return {**msgspec.to_builtins(letter), "finishedAt": rfc3339(letter.finished_on)}


app.command(epilog="Example: msgctl dlq replay --group 3f2a91c0 --canary 5 --rate 5/s --stop-on-errors 20%")(
    letters(_dlq_replay.replay)
)
app.command(epilog="Example: msgctl dlq edit ID --text 'a text that n8n takes'")(_dlq_files.edit)
app.command(epilog="Example: msgctl dlq export --since 1d > letters.jsonl")(letters(_dlq_files.export))
app.command("import", epilog="Example: msgctl dlq import letters.jsonl")(_dlq_files.import_letters)
