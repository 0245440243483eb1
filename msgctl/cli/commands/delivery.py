"""`msgctl delivery`: list, show, retry, and drop the deliveries of responses."""

from typing import Annotated, Any

import msgspec
import typer

from msgctl.cli.framework.audit import record_action
from msgctl.cli.framework.bulk import OUTCOME_COLUMNS, outcome_records, print_outcomes
from msgctl.cli.framework.channel_option import CHOICES, parse_channel
from msgctl.cli.framework.confirm import confirm
from msgctl.cli.framework.help import make_noun_group
from msgctl.cli.framework.options import (
    DryRunOption,
    MessageIdArgument,
    MessageIdsArgument,
    OutputFormat,
    OutputOption,
    ReasonOption,
    RecordFormat,
    RecordOutputOption,
    YesOption,
)
from msgctl.cli.framework.output import print_listing, print_note, print_record
from msgctl.cli.framework.session import CommandSession, run_with_session
from msgctl.cli.framework.times import format_age, format_rfc3339
from msgctl.delivery.delivery_record import DeliveryState
from msgctl.domain.errors import InvalidInput, NotFound
from msgctl.domain.messages import Channel
from msgctl.domain.ownership import not_found
from msgctl.domain.plural import pluralize
from msgctl.operations.deliveries import Deliveries
from msgctl.operations.messages.lookup import Messages

app = make_noun_group("List, show, retry, and drop deliveries.")

COLUMNS = {
    "messageId": "id",
    "channel": "channel",
    "state": "state",
    "attempts": "tries",
    "when": "when",
    "code": "error",
}
TIME_FIELDS = ("createdAt", "endedAt", "retriedAt")
OUTCOME_EXPLANATIONS = {
    "web": "A browser gets it on reconnect. It cannot be sent again.",
    "missing": "The message has no delivery.",
    "body_gone": "Its text is no longer kept.",
    "new": "Its first attempt is pending.",
    "sending": "It is being sent.",
    "kept": "The customer gets it on reconnect.",
    "sent": "It was sent.",
    "failed": "It has already failed.",
}
"""What the outcomes other than success mean."""


@app.command("list", epilog="Example: msgctl delivery list --channel whatsapp --state FAILED")
def list_deliveries(
    context: typer.Context,
    *,
    channel: Annotated[
        Channel | None,
        typer.Option(parser=parse_channel, metavar=CHOICES, help="Only deliveries of this channel."),
    ] = None,
    state: Annotated[
        str | None, typer.Option(help="Only this state: new, SENDING, SENT, FAILED, UNKNOWN, or KEPT.")
    ] = None,
    error: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only deliveries with this in their error.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Number of deliveries to search.")] = 100,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """List the newest deliveries. Filters apply to the newest `--limit` of them."""
    if state and state.upper() not in set(DeliveryState):
        raise InvalidInput(f"{state!r} is not a state. The states are {', '.join(DeliveryState)}.")
    newest = run_with_session(context, lambda session: session.context.get(Deliveries).newest(limit))
    chosen = [
        delivery
        for delivery in newest
        if channel in (None, delivery.channel)
        and (state is None or delivery.state.lower() == state.lower())
        and (error is None or error.lower() in f"{delivery.code} {delivery.text}".lower())
    ]
    if output is OutputFormat.TABLE and len(chosen) < len(newest):
        print_note(f"{len(chosen)} of the newest {len(newest)} match.")
    records = [
        {**msgspec.to_builtins(delivery), "at": format_rfc3339(delivery.at), "when": format_age(delivery.at)}
        for delivery in chosen
    ]
    print_listing(
        records, output, schema="msgctl.delivery/1", columns=COLUMNS, key="messageId", extra={"limit": limit}
    )


@app.command(epilog="Example: msgctl delivery show 0b9e7c2e-6a51-4f0e-9b51-8f4f0f6f7a10")
def show(
    context: typer.Context, message_id: MessageIdArgument, output: RecordOutputOption = RecordFormat.TABLE
) -> None:
    """Show the record of a delivery: its state, attempts, provider id, and last error."""
    record = run_with_session(context, lambda session: _find(session, message_id))
    if output is RecordFormat.TABLE:
        record = {**record, **{field: format_rfc3339(record[field]) for field in TIME_FIELDS if record.get(field)}}
    print_record(record, output, schema="msgctl.delivery-record/1")


async def _find(session: CommandSession, message_id: str) -> dict[str, Any]:
    try:
        return await session.context.get(Messages).delivery(message_id)
    except NotFound as error:
        if error.message != not_found("message").message:
            raise
        raise NotFound(
            f"There is no delivery and no message with the id {message_id}. See: msgctl delivery list"
        ) from None


def _add_bulk_command(verb: str, summary: str, *, success: str, consequence: str, example: str = "") -> None:
    """Add the verb that calls the method of `Deliveries` of the same name.

    Args:
        verb: the verb.
        summary: its help.
        success: the outcome of a delivery that was changed.
        consequence: ends the sentence "N deliveries ..." of the confirmation.
        example: options for the example.
    """
    epilog = f"Example: msgctl delivery {verb} 0b9e7c2e-6a51-4f0e-9b51-8f4f0f6f7a10{example}"

    @app.command(verb, help=summary, epilog=epilog)
    def command(
        context: typer.Context,
        ids: MessageIdsArgument,
        *,
        dry_run: DryRunOption = False,
        yes: YesOption = False,
        reason: ReasonOption = "",
        output: OutputOption = OutputFormat.TABLE,
    ) -> None:
        as_table = output is OutputFormat.TABLE
        question = f"{pluralize(len(ids), 'delivery', 'deliveries')} {consequence}"
        confirm(question, yes=yes or dry_run, machine=not as_table)

        async def body(session: CommandSession) -> dict[str, str]:
            deliveries = session.context.get(Deliveries)
            outcomes = await (deliveries.retry if verb == "retry" else deliveries.drop)(ids, dry_run=dry_run)
            changed = [message_id for message_id, outcome in outcomes.items() if outcome == success]
            if not dry_run:
                await record_action(session, f"delivery {verb}", changed, reason=reason)
            return outcomes

        records = outcome_records(run_with_session(context, body))
        if as_table:
            records = [{**record, "why": OUTCOME_EXPLANATIONS.get(record["outcome"], "")} for record in records]
        print_outcomes(
            records,
            output,
            schema=f"msgctl.delivery-{verb}/1",
            success=success,
            problem="deliveries were not changed.",
            dry_run=dry_run,
            columns={**OUTCOME_COLUMNS, "why": "why"},
        )


_add_bulk_command(
    "retry",
    "Send FAILED or UNKNOWN deliveries again. A customer may get an UNKNOWN one twice.",
    success="retried",
    consequence="will be sent again. Customers may get a reply twice.",
)
_add_bulk_command(
    "drop",
    "Give up deliveries that wait for their next attempt. `delivery retry` undoes it.",
    success="dropped",
    consequence="will be given up.",
    example=" --reason 'sent by hand'",
)
