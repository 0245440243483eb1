"""`msgctl message`: send messages, find them, and change their course."""

import asyncio
import uuid
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from msgctl.cli.commands.dlq.replay import parse_rate, replay
from msgctl.cli.framework.bulk import BulkAction, bulk_command, outcome_records, print_outcomes
from msgctl.cli.framework.bulk_input import read_submissions
from msgctl.cli.framework.channel_option import CHOICES, parse_channel
from msgctl.cli.framework.completion import complete_agents
from msgctl.cli.framework.help import make_noun_group
from msgctl.cli.framework.options import (
    ListLimitOption,
    MessageIdArgument,
    MessageIdsArgument,
    OutputFormat,
    OutputOption,
    RateOption,
    RecordFormat,
    RecordOutputOption,
    TimeoutOption,
)
from msgctl.cli.framework.output import print_json, print_listing, print_note
from msgctl.cli.framework.query import name_missing_message, no_such_message, with_query_options
from msgctl.cli.framework.session import CommandSession, run_with_session
from msgctl.cli.framework.times import format_age, format_rfc3339
from msgctl.cli.views.message import print_message
from msgctl.domain.errors import Incomplete, InvalidInput, TryLater
from msgctl.domain.messages import DEFAULT_PRIORITY, Channel, State
from msgctl.domain.plural import pluralize
from msgctl.domain.times import parse_duration
from msgctl.operations.messages.cancel import MessageCanceller
from msgctl.operations.messages.lookup import Messages
from msgctl.operations.messages.query import Query
from msgctl.operations.messages.reply_watcher import ENDED_MESSAGE_STATES, Replies
from msgctl.operations.messages.search import SEARCH_WINDOW, MessageSearch, SearchResult
from msgctl.storage.redis.keys import queue_name

app = make_noun_group("Send, list, trace, and cancel messages.")

COLUMNS = {
    "messageId": "id",
    "state": "state",
    "when": "since",
    "priority": "pri",
    "channel": "channel",
    "userId": "user",
    "code": "error",
}
CANCELLABLE_STATES = {State.WAITING, State.DELAYED}


@app.command(epilog='Example: msgctl message send "How are you?" --agent 0b9e7c2e-... --wait')
def send(
    context: typer.Context,
    *,
    text: Annotated[str | None, typer.Argument(help="The customer's text. Without it, give --from.")] = None,
    agent: Annotated[
        str | None, typer.Option(help="Id or name of the agent.", autocompletion=complete_agents)
    ] = None,
    lines: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="File of JSON lines in the form of the API; - reads stdin."),
    ] = None,
    user: Annotated[str | None, typer.Option(help="User who sends it. Default: the agent's owner.")] = None,
    conversation: Annotated[str | None, typer.Option(help="Conversation id. Default: a new one.")] = None,
    channel: Annotated[
        Channel, typer.Option(parser=parse_channel, metavar=CHOICES, help="Channel of the reply.")
    ] = Channel.WEB,
    metadata: Annotated[str, typer.Option(metavar="JSON", help="Channel metadata, a JSON object.")] = "{}",
    priority: Annotated[int, typer.Option(help="1 to 10. A lower number is processed sooner.")] = DEFAULT_PRIORITY,
    message_id: Annotated[str | None, typer.Option("--id", help="Message id. Default: a new one.")] = None,
    count: Annotated[int, typer.Option(min=1, max=10_000, help="Number of times to send it.")] = 1,
    rate: RateOption = None,
    via_api: Annotated[bool, typer.Option("--via-api", help="Send through the gateway.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the reply and print it.")] = False,
    timeout: TimeoutOption = "150s",
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Send a message as the gateway does."""
    from msgctl.cli.commands.message.sending import SendRequest, print_replies, send_all  # noqa: PLC0415 - only here

    if count > 1 and message_id:
        raise InvalidInput("--id names one message. Leave it out with --count.")
    _check_arguments(text, agent, lines)
    request = SendRequest(
        text=text or "",
        agent_id=agent or "",
        user_id=user,
        conversation_id=conversation,
        channel=channel,
        metadata=_parse_metadata(metadata),
        priority=priority,
        message_ids=[message_id] if message_id else [str(uuid.uuid4()) for _ in range(count)],
        reply_timeout_s=parse_duration(timeout) if wait else None,
        submissions=read_submissions(lines) if lines else None,
        messages_per_second=parse_rate(rate),
        via_api=via_api,
    )
    print_replies(run_with_session(context, lambda session: send_all(session, request)), output, waited=wait)


@app.command(epilog="Example: msgctl message show 0b9e7c2e-6a51-4f0e-9b51-8f4f0f6f7a10 -o json")
def show(
    context: typer.Context, message_id: MessageIdArgument, output: RecordOutputOption = RecordFormat.TABLE
) -> None:
    """Show a message: its state, runs, reply, and delivery."""

    async def body(session: CommandSession) -> dict[str, Any]:
        messages = session.context.get(Messages)
        message = await name_missing_message(message_id, messages.show(message_id))
        return {**message, "reply": await messages.reply(message_id)}

    message = run_with_session(context, body)
    if output is RecordFormat.TABLE and message["state"] == State.FAILED:
        print_note(f"Replay it: msgctl dlq replay {message_id}")
    print_message(message, output)


@app.command(epilog="Example: msgctl message trace 0b9e7c2e-6a51-4f0e-9b51-8f4f0f6f7a10 --follow")
def trace(
    context: typer.Context,
    *,
    message_id: MessageIdArgument = "",
    conversation: Annotated[str, typer.Option(help="Trace each message of this conversation instead.")] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Continue until the message has ended.")] = False,
    output: RecordOutputOption = RecordFormat.TABLE,
) -> None:
    """Print the events of a message, where it is now, and what to do."""
    if bool(message_id) == bool(conversation):
        raise InvalidInput("Give a message id or --conversation.")
    run_with_session(context, lambda session: _trace(session, message_id, conversation, output, follow=follow))


async def _trace(
    session: CommandSession, message_id: str, conversation: str, output: RecordFormat, *, follow: bool
) -> None:
    from msgctl.cli.views.trace import print_diagnoses, print_trace, print_trace_json  # noqa: PLC0415 - only here
    from msgctl.operations.messages.trace import MessageTracer  # noqa: PLC0415 - it imports psycopg: 0.1 s

    last, print_events = None, print_trace_json if output is RecordFormat.JSON else print_trace
    tracer = session.context.get(MessageTracer)
    async for snapshot in tracer.follow(message_id=message_id, conversation_id=conversation):
        last = print_events(snapshot, last)
        if not follow:
            break
    if output is RecordFormat.TABLE:
        print_diagnoses(snapshot.standings)


@app.command("list", epilog="Example: msgctl message list --state delayed --error n8n")
@with_query_options
def list_messages(
    context: typer.Context,
    query: Query,
    *,
    limit: ListLimitOption = 100,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """List messages, newest first. A query reads the newest 10,000 or so."""

    async def body(session: CommandSession) -> tuple[SearchResult, list[str]]:
        result = await session.context.get(MessageSearch).newest(query, limit)
        return result, await session.context.queue.list_paused()

    result, paused = run_with_session(context, body)
    as_table = output is OutputFormat.TABLE
    records = []
    for item in result.items:
        record = item.to_record()
        if as_table:
            record |= {"when": format_age(item.at), "code": (item.error or {}).get("code")}
        else:
            record["finishedAt"] = format_rfc3339(item.finished_on)
        records.append(record)
    held = sum(item.state is State.WAITING and queue_name(item.priority) in paused for item in result.items)
    if as_table and result.total > len(result.items):
        print_note(f"Shown: {len(result.items)} of {result.looked_at} messages read, of {result.total} in all.")
    if as_table and held:
        print_note(
            f"{pluralize(held, 'waiting message is', 'waiting messages are')} in a paused queue, and counted as "
            "paused by `stats`. See: msgctl queue list"
        )
    bounds = {"total": result.total, "limit": limit, "lookedAt": result.looked_at, "window": SEARCH_WINDOW}
    print_listing(
        records, output, schema="msgctl.message-summary/1", columns=COLUMNS, key="messageId", extra=bounds
    )


@app.command(epilog="Example: msgctl message why 0b9e7c2e-6a51-4f0e-9b51-8f4f0f6f7a10")
def why(
    context: typer.Context, message_id: MessageIdArgument, output: RecordOutputOption = RecordFormat.TABLE
) -> None:
    """Explain why a message has not run yet."""
    from msgctl.operations.messages.wait_reasons import WaitExplainer  # noqa: PLC0415 - it imports psycopg: 0.1 s

    explanation = run_with_session(
        context,
        lambda session: name_missing_message(
            message_id, session.context.get(WaitExplainer).explain(message_id, session.agents)
        ),
    )
    if output is RecordFormat.JSON:
        print_json({"schema": "msgctl.explanation/1", **msgspec.to_builtins(explanation)})
        return
    records = [{"code": reason.code, "message": reason.message} for reason in explanation.reasons]
    columns = {"code": str(explanation.state), "message": ""}
    print_listing(records, OutputFormat.TABLE, schema="msgctl.reason/1", columns=columns, key="code")


@app.command(epilog="Example: msgctl message wait 0b9e7c2e-6a51-4f0e-9b51-8f4f0f6f7a10 --timeout 1m")
def wait(
    context: typer.Context,
    ids: MessageIdsArgument,
    *,
    timeout: TimeoutOption = "150s",
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Wait until messages are completed or failed.

    Exit code 4 if one failed, 75 if one did not end in time.
    """
    timeout_s = parse_duration(timeout)

    async def body(session: CommandSession) -> list[dict[str, Any]]:
        deadline = asyncio.get_running_loop().time() + timeout_s
        jobs = await session.context.queue.find_many(ids)
        if missing := [message_id for message_id, job in zip(ids, jobs, strict=True) if job is None]:
            raise no_such_message(*missing)
        async with session.context.get(Replies).watch() as watch:
            return [
                await watch.wait_for_outcome(
                    job.message.conversation_id, job.message.message_id, deadline=deadline
                )
                for job in jobs
                if job is not None
            ]

    outcomes = run_with_session(context, body)
    columns = {"messageId": "id", "state": "state", "attempts": "attempts"}
    print_listing(outcomes, output, schema="msgctl.status/1", columns=columns, key="messageId")
    counts = Counter(outcome["state"] for outcome in outcomes)
    if late := sum(count for state, count in counts.items() if state not in ENDED_MESSAGE_STATES):
        raise TryLater(f"{late} of {len(ids)} messages have not ended after {timeout_s:g} s.")
    if counts[State.FAILED]:
        raise Incomplete(f"{counts[State.FAILED]} of {len(ids)} messages failed. See: msgctl dlq list")


@app.command(epilog="Example: msgctl message cancel --state waiting --user ana --reason 'sent by mistake'")
@bulk_command()
def cancel(context: typer.Context, query: Query, action: BulkAction) -> None:
    """Cancel messages that are waiting or delayed.

    They become dead letters, and their senders are notified. `msgctl dlq replay ID` undoes it. A message that is
    running is not cancelled.
    """
    if query.state not in {None, *CANCELLABLE_STATES}:
        raise InvalidInput(f"A message that is {query.state} cannot be cancelled.")
    outcomes = run_with_session(context, lambda session: _cancel(session, query, action))
    print_outcomes(
        outcome_records(outcomes),
        action.output,
        schema="msgctl.cancel/1",
        success="cancelled",
        problem="messages were not cancelled.",
        dry_run=action.dry_run,
    )


async def _cancel(session: CommandSession, query: Query, action: BulkAction) -> dict[str, str]:
    states = {item.message_id: item.state for item in await action.select(session, query)}
    cancellable = [message_id for message_id, state in states.items() if state in CANCELLABLE_STATES]
    chosen = list(dict.fromkeys(action.ids or cancellable))[: action.limit]
    if action.dry_run:
        previews = {message_id: str(state) for message_id, state in states.items()}
        previews |= dict.fromkeys(cancellable, "would_cancel")
        return {message_id: previews.get(message_id, "missing") for message_id in chosen}
    if not action.ids:
        action.confirm(f"{pluralize(len(chosen), 'message')} will be cancelled.")
    outcomes = await session.context.get(MessageCanceller).cancel(chosen, action.reason)
    cancelled = [message_id for message_id, outcome in outcomes.items() if outcome == "cancelled"]
    await action.record(session, "message cancel", cancelled, query, before="waiting", after="failed")
    return outcomes


def _check_arguments(text: str | None, agent: str | None, lines: Path | None) -> None:
    if lines is not None:
        if text is not None and agent is not None:
            raise InvalidInput("Give a text and --agent, or --from with a file, but not both.")
    elif text is None:
        raise InvalidInput('Give a text and --agent, or --from: msgctl message send "Hello" --agent ID')
    elif not text:
        raise InvalidInput("The message is empty.")
    elif agent is None:
        raise InvalidInput("Give --agent, the id or the name of the agent. See: msgctl agent list")


def _parse_metadata(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError):
        raise InvalidInput("""--metadata must be a JSON object, e.g. '{"chatId": 42}'.""") from None


app.command("retry", help="Same as `dlq replay`.", epilog="Example: msgctl message retry --since 1h --rate 5/s")(
    replay
)
