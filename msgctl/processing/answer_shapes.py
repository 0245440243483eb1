"""Recognize the shapes of values in an answer: content blocks, a chat's log, a model's own answer. Pure."""

import re
from typing import Any

_TEXT_TYPES = ("text", "output_text", "text_delta")
_HIDDEN_TYPES = re.compile(
    r"(?:redacted_)?(?:thinking|reasoning|thought)(?:[_-]\w{1,20})?|(?:\w{1,20}[_-])?tools?(?:[_-]\w{1,20}){0,3}"
    r"|function(?:[_-]call(?:[_-]output)?)?|\w{1,30}_call(?:_output)?",
    re.IGNORECASE,
)
"""Types of what a model thinks, calls, and gets back from a call."""
_LOG_ROLES = ("user", "human", "assistant", "ai", "system")
_HIDDEN_ROLES = frozenset({"user", "human", "system", "developer", "tool", "function"})


def holds_items(value: Any) -> bool:
    """Whether a value is a list with objects in it."""
    return isinstance(value, list) and any(isinstance(one, dict) for one in value)


def is_nested(value: Any) -> bool:
    """Whether a wrapper holds an item and not a value: `data` alone is where nodes put files and pages."""
    return isinstance(value, dict | list) or (isinstance(value, str) and value.lstrip().startswith(("{", "[")))


def holds_model_messages(value: Any) -> bool:
    """Whether a value is the list of messages of a model's raw answer, and not of buttons."""
    return (
        isinstance(value, list)
        and bool(value)
        and isinstance(value[0], dict)
        and (
            isinstance(value[0].get("message") or value[0].get("content"), dict)
            or (isinstance(value[0].get("text"), str) and "index" in value[0])
        )
    )


def is_log(value: Any) -> bool:
    """Whether a value is a chat's log, which may end before this turn, and not a list of parts."""
    return isinstance(value, list) and any(
        isinstance(one, dict) and "content" in one and (one.get("role") or one.get("type")) in _LOG_ROLES
        for one in value
    )


def block_text(one: Any) -> str | None:
    """The text of a content block that is shown; None for any other value."""
    if not isinstance(one, dict) or is_hidden(one):
        return None
    text = one.get("text")
    if not isinstance(text, str) or (one.get("type") not in _TEXT_TYPES and set(one) - {"text", "type"}):
        return None
    return text if one.get("type") in _TEXT_TYPES or set(one) == {"text"} else None


def is_block(one: Any) -> bool:
    """Whether a list's element marks the list as content blocks: it has a type that blocks have."""
    if not isinstance(one, dict):
        return False
    return (one.get("type") in _TEXT_TYPES and isinstance(one.get("text"), str)) or is_hidden(one)


def is_hidden(one: Any) -> bool:
    """Whether an object is a model's thinking, a tool's, or what somebody else said."""
    if not isinstance(one, dict):
        return False
    kind = one.get("type")
    if one.get("thought") is True or (isinstance(kind, str) and _HIDDEN_TYPES.fullmatch(kind)):
        return True
    who = one.get("role") or kind
    return isinstance(who, str) and who.casefold() in _HIDDEN_ROLES and "content" in one and "output" not in one


def is_asking(one: Any) -> bool:
    """Whether an entry of a chat's log is the customer's."""
    if not isinstance(one, dict):
        return False
    role = one.get("role") or one.get("type")
    return isinstance(role, str) and role.casefold() in ("user", "human")


def are_the_calls(value: list[Any]) -> bool:
    """Whether `messages` are those of the call: each has the id that we gave it."""
    return all(isinstance(one, dict) and "messageId" in one for one in value)
