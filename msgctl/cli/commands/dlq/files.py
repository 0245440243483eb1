"""`msgctl dlq export | import | edit`: dead letters as lines of JSON, and in other words."""

import sys
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from msgctl.cli.framework.audit import record_action
from msgctl.cli.framework.completion import complete_ids
from msgctl.cli.framework.output import (
    OutputFormat,
    OutputOption,
    RecordFormat,
    RecordOutputOption,
    print_json,
    print_listing,
    print_note,
    print_record,
)
from msgctl.cli.framework.query import (
    AllOption,
    IdsArgument,
    LimitOption,
    ReasonOption,
    accepts_yes,
    is_unrestricted,
    name_missing_message,
    select_messages,
)
from msgctl.cli.framework.session import CommandSession, run_with_session
from msgctl.domain.errors import Incomplete, InvalidInput
from msgctl.domain.messages import Message, State
from msgctl.domain.plural import pluralize
from msgctl.operations.dead_letters.letters import DeadLetters
from msgctl.operations.messages.query import Query
from msgctl.queue.job import Job
from msgctl.queue.queue import EnqueueStatus

DEAD_LETTER_COPY_SCHEMA = "msgctl.letter-copy/1"
EXPORT_BATCH_SIZE = 200


class DeadLetterCopy(msgspec.Struct, rename="camel"):
    """A line of an export, as far as an import reads it."""

    message: Message


def export(
    context: typer.Context,
    query: Query,
    ids: IdsArgument = None,
    *,
    every: AllOption = False,
    limit: LimitOption = None,
) -> None:
    """Print dead letters whole, with the customers' texts: a line of JSON each."""

    async def body(session: CommandSession) -> int:
        chosen = await select_messages(
            session, ids, query, every=every or (not ids and is_unrestricted(query)), limit=limit
        )
        for start in range(0, len(chosen), EXPORT_BATCH_SIZE):
            batch = [item.message_id for item in chosen[start : start + EXPORT_BATCH_SIZE]]
            for job in await session.context.queue.find_many(batch):
                if job is not None and job.state is State.FAILED:
                    print_json(_make_copy(job))
        return len(chosen)

    print_note(pluralize(run_with_session(context, body), "dead letter"))


@accepts_yes
def import_dead_letters(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Of `dlq export`; - is standard input.")],
    *,
    new_ids: Annotated[bool, typer.Option("--new-ids", help="Give each message a new id.")] = False,
    reason: ReasonOption = "",
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Accept exported dead letters as messages; an id that Redis still knows is left as it is."""
    copies = list(_decode_copies(_read_text_lines(file)))

    async def body(session: CommandSession) -> list[dict[str, Any]]:
        outcomes = [await _accept(session, copy.message, new_id=new_ids) for copy in copies]
        done = [one["messageId"] for one in outcomes if one["outcome"] == EnqueueStatus.ACCEPTED]
        await record_action(session, "dlq import", done, reason=reason)
        return outcomes

    outcomes = run_with_session(context, body)
    columns = {"messageId": "id", "outcome": "outcome"}
    print_listing(outcomes, output, schema="msgctl.import/1", columns=columns, key="messageId")
    known = [one for one in outcomes if one["outcome"] != EnqueueStatus.ACCEPTED]
    if known:
        raise Incomplete(f"{len(known)} of {len(outcomes)} were not accepted; --new-ids gives them new ids.")


@accepts_yes
def edit(
    context: typer.Context,
    message_id: Annotated[str, typer.Argument(metavar="ID", help="The dead letter.", autocompletion=complete_ids)],
    *,
    text: Annotated[str, typer.Option(help="What the customer shall have said; - reads standard input.")],
    reason: ReasonOption = "",
    output: RecordOutputOption = RecordFormat.TABLE,
) -> None:
    """Send a dead letter anew with another text. The original stays as it is and names its edition."""
    words = sys.stdin.read().rstrip("\n") if text == "-" else text

    async def body(session: CommandSession) -> dict[str, Any]:
        edition = await name_missing_message(message_id, session.context.get(DeadLetters).edit(message_id, words))
        await record_action(session, "dlq edit", [message_id], reason=reason, after=edition.message_id)
        return {"messageId": edition.message_id, "conversationId": edition.conversation_id, "original": message_id}

    print_record(run_with_session(context, body), output, schema="msgctl.edition/1")


async def _accept(session: CommandSession, message: Message, *, new_id: bool) -> dict[str, Any]:
    if new_id:
        message = msgspec.structs.replace(message, message_id=str(uuid.uuid4()))
    enqueued = await session.context.queue.enqueue(message, digest=message.digest())
    return {"messageId": message.message_id, "outcome": enqueued.status}


def _make_copy(job: Job) -> dict[str, Any]:
    return {
        "schema": DEAD_LETTER_COPY_SCHEMA,
        "message": msgspec.to_builtins(job.message),
        "error": job.error,
        "attempts": job.attempts,
        "finishedOn": job.finished_on,
    }


def _read_text_lines(file: Path) -> list[str]:
    try:
        return (sys.stdin.read() if str(file) == "-" else file.read_text("utf-8")).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"Cannot read {file}: {type(error).__name__}.") from None


def _decode_copies(lines: Iterable[str]) -> Iterable[DeadLetterCopy]:
    for number, line in enumerate(lines, 1):
        try:
            yield msgspec.json.decode(line, type=DeadLetterCopy)
        except msgspec.MsgspecError as error:
            raise InvalidInput(f"Line {number} is no exported dead letter: {error}") from None
