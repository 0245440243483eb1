"""A message as a person reads it: what is known and not empty, a line a run, the delivery in a sentence."""

from collections.abc import Mapping
from typing import Any

from msgctl.cli._time import ago
from msgctl.messages import State

LEFT_OUT = {"finishedOn", "reply", "records", "delivery", "error", "channelMetadata"}
"""Told in other words below, or only in JSON."""
GONE = "no longer kept"
"""Of a reply: a conversation keeps its newest ones, and all of them for a while."""


def as_sheet(found: Mapping[str, Any]) -> dict[str, Any]:
    """The fields to print.

    Args:
        found: of `Messages.show`, with its `reply` if it was answered.
    """
    sheet = {name: value for name, value in found.items() if value not in (None, "") and name not in LEFT_OUT}
    if found["channelMetadata"]:
        sheet["channelMetadata"] = found["channelMetadata"]
    if found["state"] == State.COMPLETED:
        sheet["reply"] = GONE if found.get("reply") is None else " ".join(found["reply"].split())
    if found["finishedOn"]:
        sheet["finished"] = ago(found["finishedOn"])
    for number, record in enumerate(found["records"], 1):
        sheet[f"run {record.get('run', number)}"] = _run(record)
    if found.get("error"):
        sheet["last error"] = f"{found['error']['code']}: {found['error']['text']}"
    if delivery := found.get("delivery"):
        sheet["delivery"] = _delivery(delivery)
    return sheet


def _run(record: Mapping[str, Any]) -> str:
    took = f" after {record['ms']} ms" if record.get("ms") is not None else ""
    return f"{record.get('code', 'failed')}{took}, {record.get('at', '')}: {record.get('text', '')}"


MEANING = {
    "KEPT": "no socket was there; the reply waits for the customer to come back",
    "UNKNOWN": "it may have been sent; nobody can tell",
}
"""States of a delivery that do not speak for themselves."""


def _delivery(record: Mapping[str, Any]) -> str:
    state = str(record["state"])
    said = [
        f"{state} ({MEANING[state]})" if state in MEANING else state,
        f"by {record['channel']}",
        "1 try" if record["attempts"] == 1 else f"{record['attempts']} tries",
    ]
    if record.get("providerId"):
        said.append(f"provider's id {record['providerId']}")
    if record.get("code"):
        said.append(f"{record['code']}: {record.get('text') or ''}".rstrip(": "))
    return ", ".join(said)
