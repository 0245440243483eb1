"""`msgctl dlq`: list, group, edit, export, import, and drop dead letters. `dlq replay` is in `replay`."""

import sys
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from msgctl.cli.commands.dlq import replay
from msgctl.cli.framework.audit import record_action
from msgctl.cli.framework.bulk import BulkAction, bulk_command, print_outcomes
from msgctl.cli.framework.bulk_input import read_text
from msgctl.cli.framework.help import make_noun_group
from msgctl.cli.framework.options import (
    AllOption,
    IdsArgument,
    LimitOption,
    ListLimitOption,
    MessageIdArgument,
    OutputFormat,
    OutputOption,
    ReasonOption,
    RecordFormat,
    RecordOutputOption,
)
from msgctl.cli.framework.output import print_json, print_listing, print_note, print_record
from msgctl.cli.framework.query import (
    accepts_yes,
    dead_letter_query,
    is_unrestricted,
    name_missing_message,
    select_messages,
)
from msgctl.cli.framework.session import CommandSession, run_with_session
from msgctl.cli.framework.times import format_age, format_rfc3339
from msgctl.cli.views.message import print_message
from msgctl.domain.errors import InvalidInput, NotFound
from msgctl.domain.messages import Message, State
from msgctl.domain.plural import pluralize
from msgctl.operations.dead_letters.groups import DeadLetterGroup, DeadLetterGrouper
from msgctl.operations.dead_letters.letters import DeadLetters
from msgctl.operations.messages.lookup import Messages
from msgctl.operations.messages.query import Query
from msgctl.operations.messages.search import SEARCH_WINDOW, MessageSearch, Summary
from msgctl.queue.job import Job
from msgctl.queue.queue import EnqueueStatus

app = make_noun_group("List, group, replay, edit, export, and drop dead letters.")

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
EXPORT_BATCH_SIZE = 200


class DeadLetterCopy(msgspec.Struct, rename="camel"):
    """The fields of an exported dead letter that an import reads."""

    message: Message


@app.command("list", epilog="Example: msgctl dlq list --channel whatsapp --since 2h")
@dead_letter_query
def list_dead_letters(
    context: typer.Context,
    query: Query,
    *,
    limit: ListLimitOption = 100,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """List dead letters, newest first. A query reads the newest 10,000 or so."""
    result = run_with_session(context, lambda session: session.context.get(MessageSearch).newest(query, limit))
    if output is OutputFormat.TABLE and result.total > result.looked_at and not is_unrestricted(query):
        print_note(f"Searched: the newest {result.looked_at} of {result.total} dead letters.")
    elif output is OutputFormat.TABLE and is_unrestricted(query) and result.total > len(result.items):
        print_note(f"Shown: the newest {len(result.items)} of {result.total}. --limit shows more.")
    to_record = _table_record if output is OutputFormat.TABLE else _json_record
    print_listing(
        [to_record(item) for item in result.items],
        output,
        schema="msgctl.dead-letter/1",
        columns=COLUMNS,
        key="messageId",
        extra={"total": result.total, "limit": limit, "lookedAt": result.looked_at, "window": SEARCH_WINDOW},
    )


@app.command(epilog="Example: msgctl dlq show 0b9e7c2e-6a51-4f0e-9b51-8f4f0f6f7a10")
def show(
    context: typer.Context, message_id: MessageIdArgument, output: RecordOutputOption = RecordFormat.TABLE
) -> None:
    """Show a dead letter and each of its attempts."""
    message = run_with_session(
        context, lambda session: name_missing_message(message_id, session.context.get(Messages).show(message_id))
    )
    if message["state"] != State.FAILED:
        raise NotFound(
            f"The message is not a dead letter, it is {message['state']}. See: msgctl message show {message_id}"
        )
    print_message({**message, "reply": None}, output)


@app.command(epilog="Example: msgctl dlq groups --since 1d")
@dead_letter_query
def groups(context: typer.Context, query: Query, output: OutputOption = OutputFormat.TABLE) -> None:
    """Group all dead letters by their error, the largest group first."""
    found = run_with_session(context, lambda session: session.context.get(DeadLetterGrouper).group_all(query))
    to_record = _group_table_record if output is OutputFormat.TABLE else _group_json_record
    records = [to_record(group) for group in found]
    print_listing(records, output, schema="msgctl.dead-group/1", columns=GROUP_COLUMNS, key="group")
    if output is OutputFormat.TABLE and records:
        print_note(f"See one:    msgctl dlq show {found[0].sample}")
        print_note(f"Replay all: msgctl dlq replay --group {found[0].group} --dry-run")


app.command(epilog="Example: msgctl dlq replay --group 3f2a91c0 --canary 5 --rate 5/s --stop-on-errors 20%")(
    replay.replay
)


@app.command(epilog="Example: msgctl dlq edit ID --text 'a text that n8n takes'")
@accepts_yes
def edit(
    context: typer.Context,
    message_id: MessageIdArgument,
    *,
    text: Annotated[str, typer.Option(help="The new customer's text; - reads standard input.")],
    reason: ReasonOption = "",
    output: RecordOutputOption = RecordFormat.TABLE,
) -> None:
    """Send an edited copy of a dead letter. The original stays and names its replacement."""
    new_text = sys.stdin.read().rstrip("\n") if text == "-" else text

    async def body(session: CommandSession) -> dict[str, Any]:
        editing = session.context.get(DeadLetters).edit(message_id, new_text)
        replacement = await name_missing_message(message_id, editing)
        new_id = replacement.message_id
        await record_action(session, "dlq edit", [message_id], reason=reason, after=new_id)
        return {"messageId": new_id, "conversationId": replacement.conversation_id, "original": message_id}

    print_record(run_with_session(context, body), output, schema="msgctl.edition/1")


@app.command(epilog="Example: msgctl dlq export --since 1d > letters.jsonl")
@dead_letter_query
def export(
    context: typer.Context,
    query: Query,
    ids: IdsArgument = None,
    *,
    every: AllOption = False,
    limit: LimitOption = None,
) -> None:
    """Print dead letters as JSON lines, with the customers' texts."""
    every = every or (not ids and is_unrestricted(query))

    async def body(session: CommandSession) -> int:
        chosen = await select_messages(session, ids, query, every=every, limit=limit)
        for start in range(0, len(chosen), EXPORT_BATCH_SIZE):
            batch = [item.message_id for item in chosen[start : start + EXPORT_BATCH_SIZE]]
            for job in await session.context.queue.find_many(batch):
                if job is not None and job.state is State.FAILED:
                    print_json(_copy_record(job))
        return len(chosen)

    print_note(pluralize(run_with_session(context, body), "dead letter"))


@app.command("import", epilog="Example: msgctl dlq import letters.jsonl")
@accepts_yes
def import_dead_letters(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file of `dlq export`; - reads standard input.")],
    *,
    new_ids: Annotated[bool, typer.Option("--new-ids", help="Give each message a new id.")] = False,
    reason: ReasonOption = "",
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Accept exported dead letters as messages. Messages that Redis still has are skipped."""
    copies = list(_decode_copies(read_text(file).splitlines()))

    async def body(session: CommandSession) -> list[dict[str, Any]]:
        outcomes = [await _accept(session, copy.message, new_id=new_ids) for copy in copies]
        accepted = [record["messageId"] for record in outcomes if record["outcome"] == EnqueueStatus.ACCEPTED]
        await record_action(session, "dlq import", accepted, reason=reason)
        return outcomes

    print_outcomes(
        run_with_session(context, body),
        output,
        schema="msgctl.import/1",
        success=EnqueueStatus.ACCEPTED,
        problem="dead letters were not accepted. --new-ids gives them new ids.",
    )


@app.command(epilog="Example: msgctl dlq drop --group 3f2a91c0 --until 7d --dry-run")
@bulk_command(state=State.FAILED)
def drop(context: typer.Context, query: Query, action: BulkAction) -> None:
    """Delete dead letters for good. This cannot be undone, but `dlq export` keeps a copy."""
    outcomes = run_with_session(context, lambda session: _drop(session, query, action))
    print_outcomes(
        [{"messageId": name, "outcome": outcomes[name]} for name in dict.fromkeys(action.ids or outcomes)],
        action.output,
        schema="msgctl.drop/1",
        success="dropped",
        problem="messages were not dropped: they are not dead letters, or their senders are not notified yet.",
        dry_run=action.dry_run,
    )


async def _drop(session: CommandSession, query: Query, action: BulkAction) -> dict[str, str]:
    dead_letters = session.context.get(DeadLetters)
    chosen = [item.message_id for item in await action.select(session, query, limit=action.limit)]
    missing = {message_id: "missing" for message_id in action.ids or () if message_id not in chosen}
    if action.dry_run:
        droppable = await dead_letters.droppable(chosen)
        return {name: "would_drop" if droppable[name] else "kept" for name in chosen} | missing
    action.confirm(f"{pluralize(len(chosen), 'dead letter')} will be deleted for good.")
    dropped = await dead_letters.drop_many(chosen)
    await action.record(session, "dlq drop", [name for name in chosen if dropped[name]], query)
    return {name: "dropped" if dropped[name] else "kept" for name in chosen} | missing


async def _accept(session: CommandSession, message: Message, *, new_id: bool) -> dict[str, Any]:
    if new_id:
        message = msgspec.structs.replace(message, message_id=str(uuid.uuid4()))
    enqueued = await session.context.queue.enqueue(message, digest=message.digest())
    return {"messageId": message.message_id, "outcome": enqueued.status}


def _decode_copies(lines: Iterable[str]) -> Iterator[DeadLetterCopy]:
    for number, line in enumerate(lines, 1):
        try:
            yield msgspec.json.decode(line, type=DeadLetterCopy)
        except msgspec.MsgspecError as error:
            raise InvalidInput(f"Line {number} is not an exported dead letter: {error}") from None


def _copy_record(job: Job) -> dict[str, Any]:
    return {
        "schema": "msgctl.letter-copy/1",
        "message": msgspec.to_builtins(job.message),
        "error": job.error,
        "attempts": job.attempts,
        "finishedOn": job.finished_on,
    }


def _group_table_record(group: DeadLetterGroup) -> dict[str, Any]:
    return {
        **msgspec.to_builtins(group),
        "first": format_age(group.first_seen),
        "last": format_age(group.last_seen),
        "channels": ", ".join(group.channels),
        "agents": len(group.agents),
    }


def _group_json_record(group: DeadLetterGroup) -> dict[str, Any]:
    times = {"firstSeenAt": format_rfc3339(group.first_seen), "lastSeenAt": format_rfc3339(group.last_seen)}
    return {**msgspec.to_builtins(group), **times}


def _table_record(item: Summary) -> dict[str, Any]:
    error = item.error or {}
    what = f"{error.get('code', 'unknown')}: {error.get('text', '')}"
    return {"messageId": item.message_id, "when": format_age(item.at), "what": what}


def _json_record(item: Summary) -> dict[str, Any]:
    return {**item.to_record(), "finishedAt": format_rfc3339(item.finished_on)}
