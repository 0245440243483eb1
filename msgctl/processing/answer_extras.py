"""What an answer may hold beside its text: attachments, choices, a handoff, usage, a promise. Pure.

What is malformed is left out and told as a warning: a bad button is no reason to lose the reply.
"""

import math
import re
from typing import Any

from msgctl.domain.visible_text import is_visible, repair_text
from msgctl.processing.answer_faults import describe_kind
from msgctl.processing.answers import Attachment, Choice, Handoff, Usage

KINDS = frozenset({"image", "audio", "voice", "video", "document", "sticker", "location", "contact"})
_ADDRESS = re.compile(r"https?://[^\s\x00-\x20\x7f\"<>\\^`{|}]{1,4096}", re.IGNORECASE)
_EXECUTION = re.compile(r"[\w-]{1,64}")
LONGEST_DELAY_S = 3600.0
LONGEST_LABEL = 256


def as_label(value: Any) -> str:
    """A short text, or a number written out; empty for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if abs(value) < 10**18 else ""
    if not isinstance(value, str):
        return ""
    text = repair_text(value).strip()
    return text if is_visible(text) else ""


def is_yes(value: Any) -> bool:
    """Whether a switch is on; n8n's forms write `"true"`."""
    return value is True or (isinstance(value, str) and value.strip().casefold() == "true")


def as_list(value: Any) -> list[Any]:
    """A list as it is, nothing as an empty one, and one thing as a list of it."""
    if isinstance(value, list):
        return value
    return [] if value in (None, "", {}) else [value]


def as_seconds(value: Any, longest: float = math.inf) -> float | None:
    """A number of seconds above 0, at most `longest`; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        return None
    return min(float(value), longest)


def read_attachments(value: Any, warnings: list[str]) -> list[Attachment]:
    """The attachments of an item, each with an address or the id of a stored file."""
    found = []
    for index, one in enumerate(as_list(value)):
        attachment = _read_attachment(one)
        if attachment is None:
            warnings.append(
                f"attachments[{index}] holds {describe_kind(one)} without a usable url or fileId: it was left out."
            )
        else:
            found.append(attachment)
    return found


def _read_attachment(one: Any) -> Attachment | None:
    told = {"url": one} if isinstance(one, str) else one
    if not isinstance(told, dict):
        return None
    url, file_id = as_label(told.get("url")), as_label(told.get("fileId"))
    if not (_ADDRESS.fullmatch(url) or (not url and _EXECUTION.fullmatch(file_id))):
        return None
    kind = as_label(told.get("kind") or told.get("type")).casefold()
    return Attachment(
        url=url,
        file_id=file_id,
        kind=kind if kind in KINDS else "",
        mime_type=as_label(told.get("mimeType"))[:LONGEST_LABEL],
        name=as_label(told.get("name"))[:LONGEST_LABEL],
        caption=as_label(told.get("caption")),
    )


def read_choices(value: Any, warnings: list[str]) -> list[Choice]:
    """The choices of an item; an id stands in for a title that is missing, and the reverse."""
    found = []
    for index, one in enumerate(as_list(value)):
        told = one if isinstance(one, dict) else {"title": one}
        title, named = as_label(told.get("title")), as_label(told.get("id"))
        if not title and not named:
            warnings.append(
                f"choices[{index}] holds {describe_kind(one)} without an id or a title: it was left out."
            )
            continue
        url = as_label(told.get("url"))
        found.append(
            Choice(
                id=named or title,
                title=title or named,
                description=as_label(told.get("description")),
                url=url if _ADDRESS.fullmatch(url) else "",
            )
        )
    return found


def read_handoff(value: Any) -> Handoff | None:
    """The handoff of an item: `true`, an object, or the reason as a text."""
    if isinstance(value, dict):
        return Handoff(as_label(value.get("reason")))
    if is_yes(value):
        return Handoff()
    reason = as_label(value) if isinstance(value, str) else ""
    return Handoff(reason) if reason and reason.casefold() not in ("false", "no", "0") else None


def read_usage(item: dict[str, Any], known: Usage) -> Usage:
    """What an item adds to the usage that is known already; what stands further out wins."""
    tokens, model, reason = item.get("tokensUsed"), item.get("model"), item.get("finishReason")
    counted = tokens if isinstance(tokens, int) and not isinstance(tokens, bool) else None
    return Usage(
        known.tokens_used if known.tokens_used is not None else counted,
        known.model or (repair_text(model) if isinstance(model, str) else None),
        known.finish_reason or (repair_text(reason) if isinstance(reason, str) else None),
    )


def read_execution(item: dict[str, Any]) -> str:
    """The id of n8n's execution, where an item tells it."""
    told = as_label(item.get("executionId"))
    return told if _EXECUTION.fullmatch(told) else ""
