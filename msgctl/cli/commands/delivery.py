"""`msgctl delivery`: what became of each response on its way to a customer."""

from typing import Annotated, Any

import msgspec
import typer

from msgctl.cli.framework.audit import record_action
from msgctl.cli.framework.channel_option import CHOICES, parse_channel
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
from msgctl.cli.framework.query import DryRunOption, ReasonOption, YesOption
from msgctl.cli.framework.session import CommandSession, run_with_session
from msgctl.cli.framework.times import format_age, format_rfc3339
from msgctl.delivery.delivery_record import DeliveryState
from msgctl.domain.errors import Incomplete, InvalidInput, NotFound
from msgctl.domain.messages import Channel
from msgctl.domain.ownership import not_found
from msgctl.domain.plural import pluralize
from msgctl.operations.deliveries import Deliveries
from msgctl.operations.messages.lookup import Messages

app = make_noun_group("What became of each response on its way to a customer.")

COLUMNS = {
    "messageId": "id",
    "channel": "channel",
    "state": "state",
    "attempts": "tries",
    "when": "when",
    "code": "error",
}
TIME_FIELDS = ("createdAt", "endedAt", "retriedAt")
SUCCESS_OUTCOME_BY_VERB = {"retry": "retried", "drop": "dropped"}
OUTCOME_EXPLANATIONS = {
    "web": "A browser gets it when it comes back; nothing can be sent to it.",
    "missing": "There is no delivery of such a message.",
    "body_gone": "Its text is no longer kept.",
    "new": "It is on its way.",
    "sending": "It is with the provider now.",
    "kept": "It waits for the customer to come back.",
    "sent": "It has arrived.",
    "failed": "It was given up already.",
}
"""What outcomes that are no success mean to a person."""
DeliveryIdsArgument = Annotated[
    list[str], typer.Argument(metavar="ID", help="Which.", autocompletion=complete_ids)
]


@app.command("list", epilog="Example: msgctl delivery list --channel whatsapp --state FAILED")
def list_deliveries(
    context: typer.Context,
    *,
    channel: Annotated[
        Channel | None, typer.Option(parser=parse_channel, metavar=CHOICES, help="Only of this channel.")
    ] = None,
    state: Annotated[
        str | None, typer.Option(help="Only in this state: new, SENDING, SENT, FAILED, UNKNOWN or KEPT.")
    ] = None,
    error: Annotated[str | None, typer.Option(metavar="TEXT", help="Only with this in its error.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many of the newest to look at.")] = 100,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """The newest deliveries; a filter looks at `--limit` of them, no further."""
    if state and state.upper() not in set(DeliveryState):
        raise InvalidInput(f"There is no state {state!r}; there are {', '.join(DeliveryState)}.")
    found = run_with_session(context, lambda session: session.context.get(Deliveries).newest(limit))
    chosen = [
        one
        for one in found
        if channel in (None, one.channel)
        and (state is None or one.state.lower() == state.lower())
        and (error is None or error.lower() in f"{one.code} {one.text}".lower())
    ]
    if output is OutputFormat.TABLE and len(chosen) < len(found):
        print_note(f"{len(chosen)} of the newest {len(found)}.")
    records = [
        {**msgspec.to_builtins(one), "at": format_rfc3339(one.at), "when": format_age(one.at)} for one in chosen
    ]
    print_listing(
        records, output, schema="msgctl.delivery/1", columns=COLUMNS, key="messageId", extra={"limit": limit}
    )


@app.command(epilog="Example: msgctl delivery show 0b9e7c2e-6a51-4f0e-9b51-8f4f0f6f7a10")
def show(
    context: typer.Context,
    message_id: Annotated[str, typer.Argument(metavar="ID", help="The message.", autocompletion=complete_ids)],
    output: RecordOutputOption = RecordFormat.TABLE,
) -> None:
    """The record of one delivery: its state, tries, provider id and last error."""
    record = run_with_session(context, lambda session: _find(session, message_id))
    if output is RecordFormat.TABLE:
        record = {**record, **{field: format_rfc3339(record[field]) for field in TIME_FIELDS if record.get(field)}}
    print_record(record, output, schema="msgctl.delivery-record/1")


@app.command(epilog="Example: msgctl delivery retry 0b9e7c2e-6a51-4f0e-9b51-8f4f0f6f7a10")
def retry(
    context: typer.Context,
    ids: DeliveryIdsArgument,
    *,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    reason: ReasonOption = "",
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Send once more what FAILED, or what is UNKNOWN and so may come to the customer twice."""
    _retry_or_drop(context, "retry", ids, dry_run=dry_run, yes=yes, reason=reason, output=output)


@app.command(epilog="Example: msgctl delivery drop 0b9e7c2e-6a51-4f0e-9b51-8f4f0f6f7a10 --reason 'sent by hand'")
def drop(
    context: typer.Context,
    ids: DeliveryIdsArgument,
    *,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    reason: ReasonOption = "",
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Give up what waits for its next try; `delivery retry` takes it back."""
    _retry_or_drop(context, "drop", ids, dry_run=dry_run, yes=yes, reason=reason, output=output)


async def _find(session: CommandSession, message_id: str) -> dict[str, Any]:
    try:
        return await session.context.get(Messages).delivery(message_id)
    except NotFound as error:
        if error.message != not_found("message").message:
            raise
        raise NotFound(
            f"There is no delivery of {message_id}, nor such a message. See: msgctl delivery list"
        ) from None


def _retry_or_drop(
    context: typer.Context,
    verb: str,
    ids: list[str],
    *,
    dry_run: bool,
    yes: bool,
    reason: str,
    output: OutputFormat,
) -> None:
    which = pluralize(len(ids), "delivery", "deliveries")
    question = {
        "retry": f"{which} will be made once more; customers may get a reply twice.",
        "drop": f"{which} will be given up.",
    }[verb]
    confirm(question, yes=yes or dry_run, machine=output is not OutputFormat.TABLE)

    async def body(session: CommandSession) -> dict[str, str]:
        deliveries = session.context.get(Deliveries)
        amend = deliveries.retry if verb == "retry" else deliveries.drop
        outcomes = await amend(ids, dry_run=dry_run)
        done = [message_id for message_id, outcome in outcomes.items() if outcome == SUCCESS_OUTCOME_BY_VERB[verb]]
        if not dry_run:
            await record_action(session, f"delivery {verb}", done, reason=reason)
        return outcomes

    outcomes = run_with_session(context, body)
    records = [{"messageId": message_id, "outcome": outcome} for message_id, outcome in outcomes.items()]
    if output is OutputFormat.TABLE:
        records = [{**record, "why": OUTCOME_EXPLANATIONS.get(record["outcome"], "")} for record in records]
    columns = {"messageId": "id", "outcome": "outcome", "why": "why"}
    print_listing(records, output, schema=f"msgctl.delivery-{verb}/1", columns=columns, key="messageId")
    if not dry_run and (left := sum(outcome != SUCCESS_OUTCOME_BY_VERB[verb] for outcome in outcomes.values())):
        raise Incomplete(f"{left} of {len(ids)} were left as they are.")
