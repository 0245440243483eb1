"""Where a message stopped, and what to do about it, from what happened to it and what is in its way. Pure."""

from collections.abc import Collection, Sequence

from msgctl.domain.messages import WireStruct
from msgctl.ledger.event import Event

SUCCESS_EVENTS = frozenset({"sent", "kept", "silent"})
NEUTRAL_EVENTS = frozenset({"receipt", "edited"})
"""Events that move a message nowhere."""
WAITS_FOR_WORKER = "It waits in its queue for a free worker."
NO_WORKER_ADVICE = "No worker is alive. Start one: msgctl start worker"
NO_SUBSCRIBER_ADVICE = "No subscriber is alive. Start one: msgctl start subscriber"
DIAGNOSIS_BY_EVENT = {
    "accepted": (WAITS_FOR_WORKER, ""),
    "queued": (WAITS_FOR_WORKER, ""),
    "replayed": (WAITS_FOR_WORKER, ""),
    "handed_back": ("Its worker stopped and gave it back; another one takes it.", ""),
    "crashed": ("Its worker was lost; another one takes it.", "See that worker's log: msgctl logs --message {id}"),
    "quarantined": ("It may have killed its workers, and runs alone.", "See their logs: msgctl logs --errors"),
    "claimed": ("A worker is at it.", ""),
    "failed": ("It pauses before its next attempt.", ""),
    "held": ("It waits for something that is down, and is charged nothing.", ""),
    "committed": ("It is answered; the reply waits to be delivered.", ""),
    "silent": ("Its workflow finished it without a reply.", ""),
    "sending": ("The reply is being sent.", ""),
    "part_sent": ("A part of the reply is sent, the next one follows.", ""),
    "postponed": ("The delivery failed and is tried again.", ""),
    "paced": ("The reply waits for its turn: replies before it in its conversation, or its channel's rate.", ""),
    "channel_closed": (
        "It is answered; the reply is held, since its channel is paused or its provider fails.",
        "See why: msgctl channel list. Once that is mended: msgctl channel resume {channel}",
    ),
    "due": ("The reply is on its way to be sent again.", ""),
    "recovered": ("The reply was cut from the stream before it was delivered, and is put back.", ""),
    "adopted": ("Another program's reply waits to be delivered.", ""),
    "sent": ("It was answered and delivered.", ""),
    "kept": ("It was answered; no socket was there, so the reply waits for the customer to come back.", ""),
    "delivery_failed": (
        "It was answered, and the reply could not be delivered.",
        "See why: msgctl delivery show {id}. Once that is mended: msgctl delivery retry {id}",
    ),
    "unknown": (
        "It was answered, and nobody knows whether the reply arrived.",
        "Look it up at the provider. If it did not arrive: msgctl delivery retry {id}",
    ),
    "buried": ("It is a dead letter.", "Mend the cause, then: msgctl dlq replay {id}"),
    "told": ("It is a dead letter, and its sender was told.", "Mend the cause, then: msgctl dlq replay {id}"),
    "parked": ("Its record cannot be worked, so it was set aside.", "Look at it: msgctl verify"),
    "vanished": (
        "Its record is gone from Redis: deleted by hand, or evicted.",
        "See that Redis keeps what it takes: msgctl doctor. Feed it again: msgctl events restore",
    ),
    "removed": ("It was forgotten on purpose.", ""),
}
OUTCOME_UNKNOWN = "It was answered; the reply may have arrived, which is looked into or sent once more."
EVENTS_NEEDING_WORKER = frozenset(
    {"accepted", "queued", "replayed", "handed_back", "crashed", "quarantined", "claimed", "failed", "held"}
)
EVENTS_NEEDING_SUBSCRIBER = frozenset(
    {"committed", "postponed", "paced", "due", "recovered", "adopted", "part_sent", "sending"}
)
CAUSE_BY_CODE = {
    "n8n_unreachable": "Is n8n running at n8n.base_url?",
    "breaker_open": "Its workflow keeps failing: see the workflow's executions in n8n.",
    "dependency_down": "Is PostgreSQL running at postgres.url?",
    "n8n_rejected": "See the workflow's executions in n8n.",
    "n8n_timeout": "The workflow is slower than n8n.timeout.",
    "n8n_misconfigured": "Set the webhook's Respond to 'Using Respond to Webhook Node'.",
    "n8n_bad_reply": "The workflow answers without a text.",
    "agent_gone": "Its agent was deleted or disabled: msgctl agent list",
    "worker_crashed": "It killed its workers, at last alone: see their logs and the kernel's.",
    "cancelled": "A person cancelled it: msgctl journal list",
    "dropped": "A person dropped the delivery: msgctl journal list",
    "window_closed": "The customer wrote longer than 24 hours ago: only a template can be sent.",
    "callback_gone": "The callback answered 410 Gone.",
    "not_configured": "The channel is not set up: msgctl channel list",
    "provider_unreachable": "Its provider cannot be reached.",
    "request_invalid": "A setting of its channel makes the request invalid.",
    "sender_lost": "The subscriber ended while it was sending.",
}


class Diagnosis(WireStruct, kw_only=True, frozen=True):
    """Where a message stands."""

    message_id: str
    what: str
    """The last thing that happened to it."""
    over: bool
    well: bool
    """Whether it is delivered, or on its way with nothing in it."""
    sentence: str
    advice: str


def diagnose(events: Sequence[Event], reasons: Collection[str], obstacles: Sequence[str] = ()) -> Diagnosis:
    """Where a message stands.

    Args:
        events: at least one, of one message, oldest first.
        reasons: codes of what is wrong with the pipeline, of `HealthCheck`.
        obstacles: what stands between it and a worker, in sentences, where that is known.
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
    """What the provider told of a reply that was sent."""
    told = [event.evidence.get("status", "") for event in events if event.what == "receipt"]
    return f" The provider says: {told[-1]}." if told else ""


def _cause(events: Sequence[Event]) -> str:
    """What the newest code among the last events means, unless all went well since."""
    for event in reversed(events):
        if event.what in {"committed", "silent", "sent", "kept", "replayed", "accepted"}:
            return ""
        if event.evidence.get("code"):
            return CAUSE_BY_CODE.get(event.evidence["code"], "")
    return ""
