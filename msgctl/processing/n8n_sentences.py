"""The sentences that n8n and its agents say for themselves, which are never a reply. Pure.

Patterns, not a list of strings: n8n has reworded them from version to version.
"""

import re
from collections.abc import Mapping
from typing import Any

from msgctl.processing.answer_faults import Defect

LONGEST_SENTENCE = 300
_SENTENCES = (
    (
        Defect.STARTED,
        re.compile(r"(?:the )?workflow (?:was|got|has been|is) (?:successfully )?(?:re)?started"),
    ),
    (Defect.NOT_RUN, re.compile(r"webhook (?:call|request) (?:was )?received")),
    (
        Defect.NO_DATA,
        re.compile(
            r"(?:the )?workflow (?:was |has |did )?execute[d]? suc{1,2}es{1,2}fully(?:,? but .{1,80})?"
            r"|no (?:item|items|binary data)(?: to return)? (?:was|were|got) found(?: to return)?"
        ),
    ),
    (
        Defect.FAILED,
        re.compile(
            r"error in workflow|(?:the )?workflow (?:did|has|had) (?:an )?error(?:ed)?"
            r"|(?:the )?workflow execution failed|there was a problem (?:executing|running|starting) the workflow"
            r"|(?:workflow webhook error: )?(?:the )?workflow could not be (?:started|executed)"
            r"|unused respond to webhook node found in the workflow"
            r"|the execution was cancelled.{0,80}|(?:the )?workflow execution (?:was cancelled|timed out).{0,60}"
        ),
    ),
    (Defect.GAVE_UP, re.compile(r"agent stopped due to .{0,80}|agent stopped after .{0,40}iterations?")),
    (Defect.NOT_REGISTERED, re.compile(r"the requested webhook .{0,160} is not registered.{0,60}")),
)
_EXPRESSION = re.compile(r"\[object \w{1,20}\]|undefined|null|NaN|=?\{\{[^{}]*\}\}")
"""What JavaScript and n8n write where a value should stand, in their own letter case: "Null" is a German zero."""
_ENVELOPE = frozenset({"code", "message", "hint", "stacktrace", "description", "httpStatusCode"})


def recognize_sentence(text: str) -> Defect | None:
    """Which of n8n's own sentences a text is, letter case, spacing and the final dot apart; None if it is none."""
    if len(text) > LONGEST_SENTENCE:
        return None
    if _EXPRESSION.fullmatch(text.strip()):
        return Defect.EXPRESSION
    plain = " ".join(text.split()).rstrip(".!").casefold()
    return next((reason for reason, pattern in _SENTENCES if pattern.fullmatch(plain)), None)


def recognize_note(item: Mapping[str, Any]) -> Defect | None:
    """Which note of n8n's an object without a text is, by its keys; None if it is none."""
    if item.get("executionStarted"):
        return Defect.STARTED
    if item.get("formWaitingUrl") or item.get("resumeUrl") or item.get("resumeFormUrl"):
        return Defect.FORM
    return None


def is_error_envelope(item: Mapping[str, Any]) -> bool:
    """Whether an object is n8n's own form of an error: a code of 0 or from 400 up, a message, and little else."""
    code = item.get("code")
    return (
        isinstance(code, int)
        and not isinstance(code, bool)
        and (code == 0 or code >= 400)
        and isinstance(item.get("message"), str)
        and _ENVELOPE.issuperset(item)
    )
