"""`msgctl channel`: list, pause, resume, and test channels."""

import time
from typing import Annotated, Any

import msgspec
import typer

from msgctl.channels.registry import find_channel
from msgctl.cli.framework.audit import record_action
from msgctl.cli.framework.channel_option import parse_channel
from msgctl.cli.framework.help import make_noun_group
from msgctl.cli.framework.options import (
    OutputFormat,
    OutputOption,
    ReasonOption,
    RecordFormat,
    RecordOutputOption,
    TimeoutOption,
)
from msgctl.cli.framework.output import print_listing, print_note, print_record
from msgctl.cli.framework.query import accepts_yes
from msgctl.cli.framework.session import CommandSession, run_with_session
from msgctl.delivery.error_help import own_advice
from msgctl.domain.errors import Incomplete, InvalidInput
from msgctl.domain.messages import Channel
from msgctl.domain.times import parse_duration
from msgctl.operations.channels import TEST_TEXT, Channels, ChannelState
from msgctl.operations.dashboard.overview import Overview

app = make_noun_group("List, pause, resume, and test channels.")

COLUMNS = {
    "channel": "channel",
    "configured": "configured",
    "state": "state",
    "backlog": "to deliver",
    "next": "next send",
    "trouble": "last error",
}
DELIVERED_STATES = ("SENT", "KEPT")
ChannelArgument = Annotated[
    Channel,
    typer.Argument(parser=parse_channel, metavar="CHANNEL", help="Any channel except web."),
]


@app.command("list", epilog="Example: msgctl channel list")
def list_channels(context: typer.Context, output: OutputOption = OutputFormat.TABLE) -> None:
    """List the channels: their state, the responses to deliver, and what the last error means."""

    async def body(session: CommandSession) -> tuple[list[dict[str, Any]], bool]:
        snapshot = await session.context.get(Overview).read()
        backlog = {row.channel: row.backlog for row in snapshot.channels}
        records = [
            {
                **msgspec.to_builtins(state),
                "backlog": backlog.get(state.channel, 0),
                **(_table_record(state) if output is OutputFormat.TABLE else {}),
            }
            for state in await session.context.get(Channels).list()
        ]
        return records, snapshot.backlog_is_partial

    records, partial = run_with_session(context, body)
    if partial and output is OutputFormat.TABLE:
        print_note("The backlog is long. Only its newest responses are counted by channel.")
    print_listing(
        records, output, schema="msgctl.channel/1", columns=COLUMNS, key="channel", extra={"partial": partial}
    )


@app.command(epilog="Example: msgctl channel pause whatsapp --reason 'template under review'")
@accepts_yes
def pause(context: typer.Context, channel: ChannelArgument, reason: ReasonOption = "") -> None:
    """Pause a channel. Its responses wait, and other channels continue."""
    _pause_or_resume(context, "channel pause", channel, reason)


@app.command(epilog="Example: msgctl channel resume telegram")
@accepts_yes
def resume(context: typer.Context, channel: ChannelArgument, reason: ReasonOption = "") -> None:
    """Resume a channel that was paused, was stopped for its credentials, or is held by its circuit breaker."""
    _pause_or_resume(context, "channel resume", channel, reason)


@app.command("test", epilog="Example: msgctl channel test telegram --to 123456789")
def send_test(
    context: typer.Context,
    channel: ChannelArgument,
    *,
    to: Annotated[str, typer.Option(help="Address: a chat id, an E.164 phone number, or a callback URL.")] = "",
    text: Annotated[str, typer.Option(help="Text to send.")] = TEST_TEXT,
    provider: Annotated[
        str, typer.Option(help="WhatsApp provider: cloud or twilio. Default: as configured.")
    ] = "",
    sender: Annotated[
        str, typer.Option("--from", help="Bot or number that sends it. Default: the first one.")
    ] = "",
    timeout: TimeoutOption = "30s",
    output: RecordOutputOption = RecordFormat.TABLE,
) -> None:
    """Send a text to a channel through a subscriber, and print the outcome. Exit code 4 if it was not sent."""
    timeout_s = parse_duration(timeout)
    example = find_channel(channel).example_address
    if not to and example:
        raise InvalidInput(f"Give the address: msgctl channel test {channel} --to {example}")

    async def body(session: CommandSession) -> dict[str, Any]:
        channels = session.context.get(Channels)
        test = await channels.send_test(channel, to, text=text, provider=provider, sender=sender)
        return await channels.wait_for_outcome(test, timeout_s)

    record = run_with_session(context, body)
    print_record(record, output, schema="msgctl.channel-test/1")
    if record["state"] not in DELIVERED_STATES:
        reason = record["text"] if own_advice(record["code"]) else record["advice"]
        raise Incomplete(
            f"The delivery is {record['state']}. {reason or record['advice'] or record['text']}".rstrip()
        )


def _pause_or_resume(context: typer.Context, act: str, channel: Channel, reason: str) -> None:
    async def body(session: CommandSession) -> bool:
        channels = session.context.get(Channels)
        changed = await (channels.pause(channel) if act == "channel pause" else channels.resume(channel))
        if changed:
            await record_action(session, act, [str(channel)], reason=reason)
        return changed

    changed = run_with_session(context, body)
    print_note(f"{act.removeprefix('channel ')}d: {channel}{'' if changed else ' (it already was)'}")


def _table_record(state: ChannelState) -> dict[str, Any]:
    pause = (state.next_send or 0) / 1000 - time.time()
    gone = f" {len(state.urls_gone)} URLs are gone." if state.urls_gone else ""
    return {
        "state": f"{state.state} ({state.reason})" if state.reason else state.state,
        "next": f"in {pause:.0f} s" if pause > 0 else None,
        "trouble": f"{state.advice or state.last_error}{gone}".strip() or None,
    }
