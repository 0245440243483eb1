"""A message as a person reads it: the fields with a value, one line for each run, and the delivery."""

from collections.abc import Mapping
from typing import Any

from msgctl.cli.framework.options import RecordFormat
from msgctl.cli.framework.output import print_record
from msgctl.cli.framework.times import format_age, format_rfc3339
from msgctl.domain.messages import State

OMITTED_FIELDS = {"finishedOn", "reply", "records", "delivery", "error", "channelMetadata"}
"""Fields that the table shows in another form, or not at all."""
REPLY_GONE = "no longer kept"
"""The reply of a message whose conversation no longer keeps it."""
DELIVERY_STATE_MEANINGS = {
    "KEPT": "no socket was open; the customer gets the reply after reconnecting",
    "UNKNOWN": "the reply may or may not have been sent",
}
"""What the less obvious states of a delivery mean."""


def print_message(message: Mapping[str, Any], output: RecordFormat) -> None:
    """Print a message of `Messages.show`, with its `reply`."""
    record = {**message, "finishedAt": format_rfc3339(message["finishedOn"])}
    print_record(
        _table_record(message) if output is RecordFormat.TABLE else record, output, schema="msgctl.message/1"
    )


def _table_record(message: Mapping[str, Any]) -> dict[str, Any]:
    record = {
        name: value for name, value in message.items() if value not in (None, "") and name not in OMITTED_FIELDS
    }
    if message["channelMetadata"]:
        record["channelMetadata"] = message["channelMetadata"]
    if message["state"] == State.COMPLETED:
        record["reply"] = REPLY_GONE if message.get("reply") is None else " ".join(message["reply"].split())
    if message["finishedOn"]:
        record["finished"] = format_age(message["finishedOn"])
    for number, run in enumerate(message["records"], 1):
        record[f"run {run.get('run', number)}"] = _format_run(run)
    if message.get("error"):
        record["last error"] = f"{message['error']['code']}: {message['error']['text']}"
    if delivery := message.get("delivery"):
        record["delivery"] = _format_delivery(delivery)
    return record


def _format_run(run: Mapping[str, Any]) -> str:
    duration = f" after {run['ms']} ms" if run.get("ms") is not None else ""
    return f"{run.get('code', 'failed')}{duration}, {run.get('at', '')}: {run.get('text', '')}"


def _format_delivery(delivery: Mapping[str, Any]) -> str:
    state = str(delivery["state"])
    parts = [
        f"{state} ({DELIVERY_STATE_MEANINGS[state]})" if state in DELIVERY_STATE_MEANINGS else state,
        f"by {delivery['channel']}",
        "1 try" if delivery["attempts"] == 1 else f"{delivery['attempts']} tries",
    ]
    if delivery.get("providerId"):
        parts.append(f"provider's id {delivery['providerId']}")
    if delivery.get("code"):
        parts.append(f"{delivery['code']}: {delivery.get('text') or ''}".rstrip(": "))
    return ", ".join(parts)
