"""`msgctl dlq export | import | edit`: dead letters as lines of JSON, and in other words."""

import sys
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from msgctl.cli._acts import note_act
from msgctl.cli._complete import complete_ids
from msgctl.cli._output import (
    Output,
    RecordOutput,
    RecordShape,
    Shape,
    note,
    print_json,
    print_listing,
    print_record,
)
from msgctl.cli._query import Every, Ids, Limit, Reason, choose, is_open, named, unasked
from msgctl.cli._session import Session, run
from msgctl.errors import Incomplete, InvalidInput
from msgctl.messages import Message, State
from msgctl.operations.counting import counted
from msgctl.operations.query import Query
from msgctl.rqueue.job import Job
from msgctl.rqueue.queue import Verdict

SCHEMA = "msgctl.letter-copy/1"
BATCH = 200


class Copy(msgspec.Struct, rename="camel"):
    """A line of an export, as far as an import reads it."""

    message: Message


def export(
    context: typer.Context, query: Query, ids: Ids = None, *, every: Every = False, limit: Limit = None
) -> None:
    """Print dead letters whole, with the customers' texts: a line of JSON each."""

    async def body(session: Session) -> int:
        chosen = await choose(session, ids, query, every=every or (not ids and is_open(query)), limit=limit)
        for start in range(0, len(chosen), BATCH):
            batch = [item.message_id for item in chosen[start : start + BATCH]]
            for job in await session.operations.queue.find_many(batch):
                if job is not None and job.state is State.FAILED:
                    print_json(_copy(job))
        return len(chosen)

    note(counted(run(context, body), "dead letter"))


@unasked
def import_letters(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Of `dlq export`; - is standard input.")],
    *,
    new_ids: Annotated[bool, typer.Option("--new-ids", help="Give each message a new id.")] = False,
    reason: Reason = "",
    output: Output = Shape.TABLE,
) -> None:
    """Accept exported dead letters as messages; an id that Redis still knows is left as it is."""
    copies = list(_read(_lines(file)))

    async def body(session: Session) -> list[dict[str, Any]]:
        outcomes = [await _accept(session, copy.message, new_id=new_ids) for copy in copies]
        done = [one["messageId"] for one in outcomes if one["outcome"] == Verdict.ACCEPTED]
        await note_act(session, "dlq import", done, reason=reason)
        return outcomes

    outcomes = run(context, body)
    columns = {"messageId": "id", "outcome": "outcome"}
    print_listing(outcomes, output, schema="msgctl.import/1", columns=columns, key="messageId")
    known = [one for one in outcomes if one["outcome"] != Verdict.ACCEPTED]
    if known:
        raise Incomplete(f"{len(known)} of {len(outcomes)} were not accepted; --new-ids gives them new ids.")


@unasked
def edit(
    context: typer.Context,
    message_id: Annotated[str, typer.Argument(metavar="ID", help="The dead letter.", autocompletion=complete_ids)],
    *,
    text: Annotated[str, typer.Option(help="What the customer shall have said; - reads standard input.")],
    reason: Reason = "",
    output: RecordOutput = RecordShape.TABLE,
) -> None:
    """Send a dead letter anew with another text. The original stays as it is and names its edition."""
    words = sys.stdin.read().rstrip("\n") if text == "-" else text

    async def body(session: Session) -> dict[str, Any]:
        edition = await named(message_id, session.operations.dead_letters.edit(message_id, words))
        await note_act(session, "dlq edit", [message_id], reason=reason, after=edition.message_id)
        return {"messageId": edition.message_id, "conversationId": edition.conversation_id, "original": message_id}

    print_record(run(context, body), output, schema="msgctl.edition/1")


async def _accept(session: Session, message: Message, *, new_id: bool) -> dict[str, Any]:
    if new_id:
        message = msgspec.structs.replace(message, message_id=str(uuid.uuid4()))
    enqueued = await session.operations.queue.enqueue(message, digest=message.digest())
    return {"messageId": message.message_id, "outcome": enqueued.verdict}


def _copy(job: Job) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "message": msgspec.to_builtins(job.message),
        "error": job.error,
        "attempts": job.attempts,
        "finishedOn": job.finished_on,
    }


def _lines(file: Path) -> list[str]:
    try:
        return (sys.stdin.read() if str(file) == "-" else file.read_text("utf-8")).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"Cannot read {file}: {type(error).__name__}.") from None


def _read(lines: Iterable[str]) -> Iterable[Copy]:
    for number, line in enumerate(lines, 1):
        try:
            yield msgspec.json.decode(line, type=Copy)
        except msgspec.MsgspecError as error:
            raise InvalidInput(f"Line {number} is no exported dead letter: {error}") from None
