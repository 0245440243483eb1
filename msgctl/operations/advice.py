"""Where a message stopped, and what to do about it, from the last thing that happened to it. Pure."""

from collections.abc import Collection, Sequence

from msgctl.events import ENDS, Event
from msgctl.messages import Record

DONE = frozenset({"sent", "kept"})
WAITS = "It waits in its queue for a free worker."
NO_WORKER = "No worker is alive. Start one: msgctl start worker"
NO_SUBSCRIBER = "No subscriber is alive. Start one: msgctl start subscriber"
STANDING = {
    "accepted": (WAITS, ""),
    "queued": (WAITS, ""),
    "replayed": (WAITS, ""),
    "handed_back": ("Its worker stopped and gave it back; another one takes it.", ""),
    "crashed": ("Its worker was lost; another one takes it.", "See that worker's log."),
    "quarantined": ("It may have killed its workers, and runs alone.", "See the workers' logs."),
    "claimed": ("A worker is at it.", ""),
    "failed": ("It pauses before its next attempt.", ""),
    "held": ("It waits for something that is down, and is charged nothing.", "See its code: msgctl health"),
    "committed": ("It is answered; the reply waits to be delivered.", ""),
    "sending": ("The reply is being sent.", ""),
    "part_sent": ("A part of the reply is sent, the next one follows.", ""),
    "postponed": ("The delivery failed and is tried again.", ""),
    "adopted": ("Another program's reply waits to be delivered.", ""),
    "sent": ("It was answered and delivered.", ""),
    "kept": ("It was answered; no socket was there, so the reply waits for the customer to come back.", ""),
    "delivery_failed": ("It was answered, and the reply could not be delivered.", "Its code says why."),
    "unknown": ("It was answered, and the reply may have arrived.", "Look at the provider's own log."),
    "buried": ("It is a dead letter.", "Mend the cause, then: msgctl dlq replay {id}"),
    "told": ("It is a dead letter, and its sender was told.", "Mend the cause, then: msgctl dlq replay {id}"),
    "parked": ("Its record cannot be worked, so it was set aside.", "Look at it: msgctl verify"),
    "removed": ("It was forgotten on purpose.", ""),
}
NEEDS_WORKER = frozenset(
    {"accepted", "queued", "replayed", "handed_back", "crashed", "quarantined", "failed", "held"}
)
NEEDS_SUBSCRIBER = frozenset({"committed", "postponed", "adopted", "part_sent"})
BY_CODE = {
    "n8n_unreachable": "Is n8n running at n8n.base_url?",
    "breaker_open": "Its workflow keeps failing: see the workflow's executions in n8n.",
    "dependency_down": "Is PostgreSQL running at postgres.url?",
    "n8n_rejected": "See the workflow's executions in n8n.",
    "n8n_timeout": "The workflow is slower than n8n.timeout.",
    "n8n_misconfigured": "Set the webhook's Respond to 'Using Respond to Webhook Node'.",
    "n8n_bad_reply": "The workflow answers without a text.",
    "agent_gone": "Its agent was deleted or disabled.",
}


class Standing(Record, kw_only=True, frozen=True):
    """Where a message stands."""

    message_id: str
    what: str
    """The last thing that happened to it."""
    over: bool
    well: bool
    """Whether it is delivered, or on its way with nothing in it."""
    sentence: str
    advice: str


def stand(events: Sequence[Event], reasons: Collection[str]) -> Standing:
    """Where a message stands.

    Args:
        events: at least one, of one message, oldest first.
        reasons: codes of what is wrong with the pipeline, of `Checkup`.
    """
    last = events[-1]
    sentence, advice = STANDING.get(last.what, (f"{last.what}.", ""))
    if last.what == "accepted" and last.evidence.get("ahead", "0") != "0":
        sentence = "It waits behind the message before it in its conversation."
    if last.what in NEEDS_WORKER and "no_worker" in reasons:
        advice = NO_WORKER
    elif last.what in NEEDS_SUBSCRIBER and "no_subscriber" in reasons:
        advice = NO_SUBSCRIBER
    else:
        advice = " ".join(filter(None, (_cause(events), advice.format(id=last.message_id))))
    return Standing(
        message_id=last.message_id,
        what=last.what,
        over=last.what in ENDS,
        well=last.what in DONE or not advice,
        sentence=sentence,
        advice=advice,
    )


def _cause(events: Sequence[Event]) -> str:
    """What the newest code among the last events means, unless all went well since."""
    for event in reversed(events):
        if event.what in {"committed", "sent", "kept", "replayed", "accepted"}:
            return ""
        if event.evidence.get("code"):
            return BY_CODE.get(event.evidence["code"], "")
    return ""
