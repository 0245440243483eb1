"""The diagnosis of a message: where it stopped and what to do, from its events and its obstacles. No I/O."""

from collections.abc import Collection, Sequence

from msgctl.domain.messages import WireStruct
from msgctl.ledger.event import Event

SUCCESS_EVENTS = frozenset({"sent", "kept", "silent"})
NEUTRAL_EVENTS = frozenset({"receipt", "edited"})
"""Events that do not change where a message is."""
WAITS_FOR_WORKER = "It waits in its queue for a free worker."
NO_WORKER_ADVICE = "No worker is alive. Start one: msgctl start worker"
NO_SUBSCRIBER_ADVICE = "No subscriber is alive. Start one: msgctl start subscriber"
DIAGNOSIS_BY_EVENT = {
    "accepted": (WAITS_FOR_WORKER, ""),
    "queued": (WAITS_FOR_WORKER, ""),
    "replayed": (WAITS_FOR_WORKER, ""),
    "handed_back": ("Its worker stopped and requeued it. Another worker takes it.", ""),
    "crashed": (
        "Its worker crashed. Another worker takes it.",
        "See the log of the crashed worker: msgctl logs --message {id}",
    ),
    "quarantined": ("It may have crashed its workers, and runs alone.", "See their logs: msgctl logs --errors"),
    "claimed": ("A worker processes it.", ""),
    "failed": ("It waits for its next attempt.", ""),
    "held": ("It waits for a dependency that is down. That is not an attempt.", ""),
    "committed": ("It is answered. The reply waits to be delivered.", ""),
    "silent": ("Its workflow finished it without a reply.", ""),
    "sending": ("The reply is being sent.", ""),
    "part_sent": ("A part of the reply is sent. The next one follows.", ""),
    "postponed": ("The delivery failed and is tried again.", ""),
    "paced": (
        "The reply waits for earlier replies of its conversation, or for the rate of its channel.",
        "",
    ),
    "channel_closed": (
        "It is answered. The reply is held because its channel is paused or its provider fails.",
        "See why: msgctl channel list. After the fix: msgctl channel resume {channel}",
    ),
    "due": ("The reply is about to be sent again.", ""),
    "recovered": ("The reply was cut from the stream before it was delivered, and was put back.", ""),
    "adopted": ("A reply that another program published waits to be delivered.", ""),
    "sent": ("It was answered and delivered.", ""),
    "kept": ("It was answered. No socket was open, so the reply waits for the customer to come back.", ""),
    "delivery_failed": (
        "It was answered, but the reply could not be delivered.",
        "See why: msgctl delivery show {id}. After the fix: msgctl delivery retry {id}",
    ),
    "unknown": (
        "It was answered. Whether the reply arrived is unknown.",
        "Check at the provider. If it did not arrive: msgctl delivery retry {id}",
    ),
    "buried": ("It is a dead letter.", "Fix the cause, then: msgctl dlq replay {id}"),
    "told": ("It is a dead letter, and its sender was notified.", "Fix the cause, then: msgctl dlq replay {id}"),
    "parked": ("Its record cannot be read, so it was parked.", "See: msgctl verify"),
    "vanished": (
        "Its record is gone from Redis. It was deleted by hand or evicted.",
        "Check that Redis keeps its data: msgctl doctor. Enqueue it again: msgctl events restore",
    ),
    "removed": ("An operator removed it.", ""),
}
OUTCOME_UNKNOWN = "It was answered. The reply may have arrived. It is checked or sent again."
EVENTS_NEEDING_WORKER = frozenset(
    {"accepted", "queued", "replayed", "handed_back", "crashed", "quarantined", "claimed", "failed", "held"}
)
EVENTS_NEEDING_SUBSCRIBER = frozenset(
    {"committed", "postponed", "paced", "due", "recovered", "adopted", "part_sent", "sending"}
)
CAUSE_BY_CODE = {
    "n8n_unreachable": "Is n8n running at n8n.base_url?",
    "n8n_down": "n8n, or a proxy before it, answers that it is down: msgctl doctor",
    "n8n_down_too_long": "n8n was down for longer than n8n.patience: msgctl doctor",
    "n8n_stream_failed": "The stream of the workflow ended with an error: see its executions in n8n.",
    "breaker_open": "Its workflow keeps failing: see the workflow's executions in n8n.",
    "dependency_down": "Is PostgreSQL running at postgres.url?",
    "n8n_rejected": "See the workflow's executions in n8n.",
    "n8n_timeout": "The workflow is slower than n8n.timeout.",
    "n8n_misconfigured": "Set the webhook's Respond to 'Using Respond to Webhook Node'.",
    "n8n_bad_reply": "The workflow answers without a text.",
    "agent_gone": "Its agent was deleted or disabled: msgctl agent list",
    "worker_crashed": "It crashed its workers, even when it ran alone: see their logs and the log of the kernel.",
    "cancelled": "An operator cancelled it: msgctl journal list",
    "dropped": "An operator dropped the delivery: msgctl journal list",
    "window_closed": "The customer wrote more than 24 hours ago. Only a template can be sent.",
    "callback_gone": "The callback answered 410 Gone.",
    "not_configured": "The channel is not set up: msgctl channel list",
    "provider_unreachable": "Its provider cannot be reached.",
    "request_invalid": "A setting of its channel makes the request invalid.",
    "sender_lost": "The subscriber ended while it was sending.",
}


class Diagnosis(WireStruct, kw_only=True, frozen=True):
    """Where a message is, and what to do."""

    message_id: str
    what: str
    """Its last event."""
    over: bool
    well: bool
    """Whether it is delivered, or on its way without an obstacle."""
    sentence: str
    advice: str


def diagnose(events: Sequence[Event], reasons: Collection[str], obstacles: Sequence[str] = ()) -> Diagnosis:
    """Diagnose a message.

    Args:
        events: the events of the message, oldest first, at least one.
        reasons: the codes of the reasons that `HealthCheck` found.
        obstacles: sentences on what is between the message and a worker, if they are known.
    """
    last = next((event for event in reversed(events) if event.what not in NEUTRAL_EVENTS), events[-1])
    sentence, advice = DIAGNOSIS_BY_EVENT.get(last.what, (f"{last.what}.", ""))
    if last.what == "accepted" and last.evidence.get("ahead", "0") != "0":
        sentence = "It waits behind the message before it in its conversation."
    if last.what == "unknown" and not last.is_terminal:
        sentence, advice = OUTCOME_UNKNOWN, ""
    if obstacles and last.what in EVENTS_NEEDING_WORKER:
        sentence = " ".join([sentence, *obstacles]) if last.what in {"crashed", "held"} else " ".join(obstacles)
    if last.what in EVENTS_NEEDING_WORKER and "no_worker" in reasons:
        advice = NO_WORKER_ADVICE
    elif last.what in EVENTS_NEEDING_SUBSCRIBER and "no_subscriber" in reasons:
        advice = NO_SUBSCRIBER_ADVICE
    else:
        facts = {"id": last.message_id, "channel": last.evidence.get("channel", "CHANNEL")}
        parts = [_cause(events), advice.format(**facts)]
        advice = " ".join(
            part if part.endswith(".") or part is parts[-1] else f"{part}." for part in parts if part
        )
    return Diagnosis(
        message_id=last.message_id,
        what=last.what,
        over=last.is_terminal or last.what == "vanished",
        well=last.what in SUCCESS_EVENTS or not advice,
        sentence=f"{sentence}{_provider_status(events)}",
        advice=advice,
    )


def _provider_status(events: Sequence[Event]) -> str:
    """Return a sentence with the last status that the provider reported."""
    statuses = [event.evidence.get("status", "") for event in events if event.what == "receipt"]
    return f" The provider says: {statuses[-1]}." if statuses else ""


def _cause(events: Sequence[Event]) -> str:
    """Return the cause that the newest error code names, unless a later event is a success."""
    for event in reversed(events):
        if event.what in {"committed", "silent", "sent", "kept", "replayed", "accepted"}:
            return ""
        if event.evidence.get("code"):
            return CAUSE_BY_CODE.get(event.evidence["code"], "")
    return ""
