"""`msgctl message`: send one, see what became of it."""

import uuid
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from msgctl.cli.commands.dlq.replay import parse_rate, replay
from msgctl.cli.commands.message import verbs
from msgctl.cli.commands.message.sending import SendRequest, print_outcomes, send_all
from msgctl.cli.framework.bulk_input import read_submissions
from msgctl.cli.framework.channel_option import CHOICES, parse_channel
from msgctl.cli.framework.completion import complete_agents, complete_ids
from msgctl.cli.framework.groups import make_noun_group
from msgctl.cli.framework.output import (
    OutputFormat,
    OutputOption,
    RecordFormat,
    RecordOutputOption,
    print_note,
    print_record,
)
from msgctl.cli.framework.query import dead_letter_query, name_missing_message, with_query_options
from msgctl.cli.framework.session import CommandSession, run_with_session
from msgctl.cli.framework.times import format_rfc3339
from msgctl.cli.views.message import message_view
from msgctl.cli.views.trace import print_diagnoses, print_trace, print_trace_json
from msgctl.domain.errors import InvalidInput
from msgctl.domain.messages import DEFAULT_PRIORITY, Channel
from msgctl.domain.times import parse_duration
from msgctl.operations.messages.lookup import Messages

app = make_noun_group("Send a message, and see what became of it.")


@app.command(epilog='Example: msgctl message send "How are you?" --agent 0b9e7c2e-... --wait')
def send(
    context: typer.Context,
    *,
    text: Annotated[str | None, typer.Argument(help="What the customer says; else --from.")] = None,
    agent: Annotated[
        str | None, typer.Option(help="The agent it is for: its id, or its name.", autocompletion=complete_agents)
    ] = None,
    lines: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="FILE", help="Lines of JSON, each as the API takes it; - is standard input."
        ),
    ] = None,
    user: Annotated[str | None, typer.Option(help="Whose message it is; else the agent's owner's.")] = None,
    conversation: Annotated[str | None, typer.Option(help="Its conversation; else a new one.")] = None,
    channel: Annotated[
        Channel, typer.Option(parser=parse_channel, metavar=CHOICES, help="Where the reply goes.")
    ] = Channel.WEB,
    metadata: Annotated[str, typer.Option(metavar="JSON", help="What the channel needs to know.")] = "{}",
    priority: Annotated[int, typer.Option(help="1 to 10; a lower number is worked sooner.")] = DEFAULT_PRIORITY,
    message_id: Annotated[str | None, typer.Option("--id", help="Its id; else a new one.")] = None,
    count: Annotated[int, typer.Option(min=1, max=10_000, help="How many times to send it.")] = 1,
    rate: Annotated[str | None, typer.Option(metavar="N/s", help="At most so many a second: 5/s, 90/m.")] = None,
    via_api: Annotated[bool, typer.Option("--via-api", help="Through the gateway, as a client does.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the reply and print it.")] = False,
    timeout: Annotated[str, typer.Option(metavar="DURATION", help="How long to wait at most.")] = "150s",
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Put a message into the queue, as the gateway does."""
    if count > 1 and message_id:
        raise InvalidInput("--id names one message; leave it out with --count.")
    _check_arguments(text, agent, lines)
    order = SendRequest(
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
    print_outcomes(run_with_session(context, lambda session: send_all(session, order)), output, waited=wait)


@app.command(epilog="Example: msgctl message show 0b9e7c2e-6a51-4f0e-9b51-8f4f0f6f7a10 -o json")
def show(
    context: typer.Context,
    message_id: Annotated[str, typer.Argument(metavar="ID", help="The message.", autocompletion=complete_ids)],
    output: RecordOutputOption = RecordFormat.TABLE,
) -> None:
    """Where a message is, and everything known of it."""
    found = run_with_session(context, lambda session: _show(session, message_id))
    record = {**found, "finishedAt": format_rfc3339(found["finishedOn"])}
    if output is RecordFormat.TABLE and found["state"] == "failed":
        print_note(f"Put it back to work: msgctl dlq replay {message_id}")
    print_record(
        message_view(found) if output is RecordFormat.TABLE else record, output, schema="msgctl.message/1"
    )


@app.command(epilog="Example: msgctl message trace 0b9e7c2e-6a51-4f0e-9b51-8f4f0f6f7a10 --follow")
def trace(
    context: typer.Context,
    *,
    message_id: Annotated[
        str, typer.Argument(metavar="ID", help="The message.", autocompletion=complete_ids)
    ] = "",
    conversation: Annotated[str, typer.Option(help="Every message of a conversation instead.")] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until it has ended.")] = False,
    output: RecordOutputOption = RecordFormat.TABLE,
) -> None:
    """What happened to a message, hop by hop: where it stopped, and what to do."""
    if bool(message_id) == bool(conversation):
        raise InvalidInput("Name a message, or a --conversation.")
    run_with_session(context, lambda session: _trace(session, message_id, conversation, output, follow=follow))


async def _show(session: CommandSession, message_id: str) -> dict[str, Any]:
    messages = session.context.get(Messages)
    return {
        **await name_missing_message(message_id, messages.show(message_id)),
        "reply": await messages.reply(message_id),
    }


async def _trace(
    session: CommandSession, message_id: str, conversation: str, output: RecordFormat, *, follow: bool
) -> None:
    from msgctl.operations.messages.trace import MessageTracer  # noqa: PLC0415 - it imports psycopg: 0.1 s

    tracing, last = session.context.get(MessageTracer), None
    stories = tracing.follow(message_id=message_id, conversation_id=conversation)
    async for story in stories:
        last = print_trace_json(story, last) if output is RecordFormat.JSON else print_trace(story, last)
        if not follow:
            break
    if output is RecordFormat.TABLE:
        print_diagnoses(story.standings)


def _check_arguments(text: str | None, agent: str | None, lines: Path | None) -> None:
    if lines is not None:
        if text is not None and agent is not None:
            raise InvalidInput("Say a text and --agent, or --from a file; not both.")
    elif text is None:
        raise InvalidInput('Say a text and --agent, or --from a file: msgctl message send "Hello" --agent ID')
    elif not text:
        raise InvalidInput("The message is empty.")
    elif agent is None:
        raise InvalidInput("Say --agent, the id or the name of the agent it is for. See: msgctl agent list")


def _parse_metadata(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError):
        raise InvalidInput("""--metadata must be a JSON object, e.g. '{"chatId": 42}'.""") from None


app.command("list", epilog="Example: msgctl message list --state delayed --error n8n")(
    with_query_options(verbs.list_messages)
)
app.command(epilog="Example: msgctl message why 0b9e7c2e-6a51-4f0e-9b51-8f4f0f6f7a10")(verbs.why)
app.command(epilog="Example: msgctl message wait 0b9e7c2e-6a51-4f0e-9b51-8f4f0f6f7a10 --timeout 1m")(verbs.wait)
app.command(epilog="Example: msgctl message cancel --state waiting --user ana --reason 'sent by mistake'")(
    with_query_options(verbs.cancel)
)
app.command(
    "retry", help="The same as `dlq replay`.", epilog="Example: msgctl message retry --since 1h --rate 5/s"
)(dead_letter_query(replay))
