"""Why an answer of n8n cannot become a reply: one class for each consequence, one reason for each shape.

A text names the field and the kind of value that it held, and then the setting to change. It never quotes what
n8n answered: that may be private. Field names and node names are quoted where they look like names.
"""

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from msgctl.domain.errors import AttemptFailed, BadReply, FaultClass, WorkflowMisconfigured
from msgctl.domain.n8n_outage import N8nDown, OutageScope

_NAME = re.compile(r"[A-Za-z_$][\w$.-]{0,31}")
_NODE = re.compile(r"[\w (),.:;/&+#-]{1,64}")
SHOWN_FIELDS = 5
"""Fields that a text lists at most."""


class Defect(StrEnum):
    """The shape that made an answer unusable; stable, for counters and tests."""

    EMPTY = "empty"
    NO_TEXT = "no_text"
    NOT_A_REPLY = "not_a_reply"
    BROKEN_JSON = "broken_json"
    TOO_DEEP = "too_deep"
    MARKUP_PAGE = "markup_page"
    EVENT_STREAM = "event_stream"
    NOT_UTF8 = "not_utf8"
    BINARY = "binary"
    COMPRESSED = "compressed"
    TOO_LARGE = "too_large"
    THINKING_ONLY = "thinking_only"
    ECHO_ONLY = "echo_only"
    EXPRESSION = "expression"
    STARTED = "started"
    NOT_RUN = "not_run"
    NOT_REGISTERED = "not_registered"
    NO_DATA = "no_data"
    FAILED = "failed"
    GAVE_UP = "gave_up"
    FORM = "form"
    STREAM_SILENT = "stream_silent"
    STREAM_CUT = "stream_cut"
    STREAM_ERROR = "stream_error"
    STARTING = "starting"
    LATER = "later"
    HANDOFF = "handoff"
    FILES_ONLY = "files_only"


class AnswerFault(AttemptFailed):
    """An answer with a good status that is no reply.

    Args:
        reason: which shape it has.
        message: which field held what, and what to change.
    """

    def __init__(self, reason: Defect, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class UnusableAnswer(AnswerFault, BadReply):
    """The body can never become a reply, however often it is asked for; one run was enough to know."""

    fault = FaultClass.FINAL


class UnfitWorkflow(AnswerFault, WorkflowMisconfigured):
    """n8n spoke for itself instead of the workflow: a setting of the workflow must change first."""


class StreamFailed(AnswerFault):
    """A streamed answer ended without a reply because the run failed; another run may do better."""

    code = "n8n_stream_failed"


class N8nStarting(AnswerFault, N8nDown):
    """A page with status 200 says that n8n starts, migrates, or is out of service: the workflow did not run."""

    def __init__(self, reason: Defect, message: str) -> None:
        AnswerFault.__init__(self, reason, message)
        self.scope = OutageScope.N8N


NOTE_ADVICE = {
    Defect.STARTED: (
        "n8n only said that it started the workflow: the webhook responds at once, before the agent. Set its "
        "Respond to 'Using Respond to Webhook Node' or 'When Last Node Finishes'; or, where the workflow answers "
        "by replyUrl, "
        'set the agent to answers = "later".'
    ),
    Defect.NOT_RUN: (
        "n8n only said that it received the call: the workflow did not run, because its 'Only Run If' condition "
        "did not hold. Change that condition in the Webhook node, or remove it."
    ),
    Defect.NOT_REGISTERED: (
        "n8n said that it knows no such webhook: is the workflow active, the agent's path right, its method POST?"
    ),
    Defect.NO_DATA: (
        "n8n only said that the workflow ran without data: its last node passed nothing on. Let the node that "
        "holds the reply be the last one, or end in Respond to Webhook."
    ),
    Defect.FAILED: "n8n only said that the workflow failed: see its execution in n8n.",
    Defect.GAVE_UP: (
        "The agent gave up at its limit of iterations: raise 'Max Iterations' in the AI Agent node, or give it "
        "fewer steps to take."
    ),
    Defect.FORM: (
        "n8n only gave the address of a form: the workflow waits for a person in a browser. Start it with a "
        "Webhook or Chat Trigger node, without a Form node before the reply."
    ),
    Defect.THINKING_ONLY: (
        "n8n's answer holds only the model's thinking, and no reply after it: raise the model's limit of tokens, "
        "or turn its thinking off."
    ),
    Defect.ECHO_ONLY: (
        "n8n's answer repeats the call and adds no reply: set Respond to Webhook to answer with the agent's "
        "`output`, not with the webhook's own item."
    ),
    Defect.EXPRESSION: (
        "n8n's answer is an expression that was not evaluated, or a value that JavaScript turned into a word: in "
        "the node that answers, switch the field to 'Expression' and let it name a text."
    ),
    Defect.MARKUP_PAGE: (
        "n8n's answer is a page of HTML or XML: check that n8n.base_url leads to n8n itself, and that the node "
        "that answers gives JSON or plain text."
    ),
    Defect.TOO_DEEP: "n8n's answer is nested too deeply: answer with one object that holds `output`.",
}
"""What each sentence or shape means, and the setting to change."""
SHAPES = frozenset(
    {
        Defect.THINKING_ONLY,
        Defect.ECHO_ONLY,
        Defect.EXPRESSION,
        Defect.MARKUP_PAGE,
        Defect.TOO_DEEP,
    }
)
"""Reasons of `NOTE_ADVICE` that the answer itself gives; the others are sentences of n8n."""


def unusable(reason: Defect) -> UnusableAnswer | UnfitWorkflow:
    """The failure for a reason that `NOTE_ADVICE` explains."""
    return (UnusableAnswer if reason in SHAPES else UnfitWorkflow)(reason, NOTE_ADVICE[reason])


def no_text(held: Sequence[str], whole: str = "") -> UnusableAnswer:
    """The failure of an answer whose fields hold no reply.

    Args:
        held: which field held what, e.g. `output holds a number`.
        whole: the kind of the whole answer, where it has no fields.
    """
    if not held:
        return UnusableAnswer(
            Defect.NOT_A_REPLY,
            f"n8n's answer is {whole} and no reply: answer with a text, or with an object that holds it under "
            "output.",
        )
    advice = "Set output to the text of the reply in the node that answers"
    if any(one.startswith(("error ", "errorMessage ")) for one in held):
        advice = "A node failed and passed its error on, so see the execution in n8n, and that node's 'On Error'"
    elif any(one.endswith("an empty list") for one in held):
        advice = (
            "The last node passed no items on, so turn on its 'Always Output Data', or end in Respond to Webhook"
        )
    shown = "; ".join(held[:SHOWN_FIELDS])
    return UnusableAnswer(
        Defect.NO_TEXT, f"n8n's answer holds no text for a reply: {shown.rstrip('.')}. {advice}."
    )


def describe_kind(value: Any) -> str:  # noqa: PLR0911 - one line for each kind
    """The kind of a JSON value in words, without the value."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a text" if value.strip() else "an empty text"
        case list():
            return "a list" if value else "an empty list"
        case dict():
            return "an object" if value else "an empty object"
    return "something else"


def describe_blank(text: str) -> str:
    """The kind of a text that shows nothing."""
    return "only characters that cannot be seen" if text.strip() else "an empty text"


def quote_name(name: str) -> str:
    """A field's name, or a stand-in where it does not look like a name."""
    return name if _NAME.fullmatch(name) else "a field"


def quote_node(name: str) -> str:
    """A node's name for an error text; empty where it holds anything unusual."""
    return f" in the node '{name}'" if _NODE.fullmatch(name) else ""
