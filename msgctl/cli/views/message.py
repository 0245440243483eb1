"""A message as a person reads it: what is known and not empty, a line a run, the delivery in a sentence."""

from collections.abc import Mapping
from typing import Any

from msgctl.cli.framework.times import format_age
from msgctl.domain.messages import State

OMITTED_FIELDS = {"finishedOn", "reply", "records", "delivery", "error", "channelMetadata"}
"""Told in other words below, or only in JSON."""
REPLY_GONE = "no longer kept"
"""Of a reply: a conversation keeps its newest ones, and all of them for a while."""


def message_view(found: Mapping[str, Any]) -> dict[str, Any]:
    """The fields to print.

    Args:
        found: of `Messages.show`, with its `reply` if it was answered.
    """
    sheet = {
        name: value for name, value in found.items() if value not in (None, "") and name not in OMITTED_FIELDS
    }
    if found["channelMetadata"]:
        sheet["channelMetadata"] = found["channelMetadata"]
    if found["state"] == State.COMPLETED:
        sheet["reply"] = REPLY_GONE if found.get("reply") is None else " ".join(found["reply"].split())
    if found["finishedOn"]:
        sheet["finished"] = format_age(found["finishedOn"])
    for number, record in enumerate(found["records"], 1):
        sheet[f"run {record.get('run', number)}"] = _format_run(record)
    if found.get("error"):
        sheet["last error"] = f"{found['error']['code']}: {found['error']['text']}"
    if delivery := found.get("delivery"):
        sheet["delivery"] = _format_delivery(delivery)
    return sheet


def _format_run(record: Mapping[str, Any]) -> str:
    took = f" after {record['ms']} ms" if record.get("ms") is not None else ""
    return f"{record.get('code', 'failed')}{took}, {record.get('at', '')}: {record.get('text', '')}"


DELIVERY_STATE_MEANINGS = {
    "KEPT": "no socket was there; the reply waits for the customer to come back",
    "UNKNOWN": "it may have been sent; nobody can tell",
}
"""States of a delivery that do not speak for themselves."""


def _format_delivery(record: Mapping[str, Any]) -> str:
    state = str(record["state"])
    said = [
        f"{state} ({DELIVERY_STATE_MEANINGS[state]})" if state in DELIVERY_STATE_MEANINGS else state,
        f"by {record['channel']}",
        "1 try" if record["attempts"] == 1 else f"{record['attempts']} tries",
    ]
    if record.get("providerId"):
        said.append(f"provider's id {record['providerId']}")
    if record.get("code"):
        said.append(f"{record['code']}: {record.get('text') or ''}".rstrip(": "))
    return ", ".join(said)
