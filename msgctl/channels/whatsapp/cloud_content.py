"""What a customer says in a message of Meta's webhook, as one text. Pure."""

import json
from typing import Any

from msgctl.channels.inbound import sanitize_text

CONTENT_KINDS = frozenset(
    {"audio", "button", "contacts", "document", "image", "interactive", "location", "order", "sticker", "text"}
    | {"video", "voice"}
)
"""The kinds of message in which a customer says something. All others, also those that Meta adds, are events."""
TEXT_FIELDS = (
    ("text", "body"),
    ("image", "caption"),
    ("video", "caption"),
    ("document", "caption"),
    ("button", "text"),
)
"""The field that holds the text of each kind of message."""
FORM_TOKEN = "flow_token"  # noqa: S105 - the name of a field
"""The field of a submitted form that Meta adds to what the customer filled in."""


def text_of(message: dict[str, Any], *, edits: bool = False) -> str:
    """Return what a message says: a text, a caption, a choice, a submitted form, or an order; empty for none.

    Args:
        message: one item of `messages`.
        edits: whether the new text of an edited message counts.
    """
    kind = message.get("type")
    if kind == "edit":
        edited = _member(message, "edit", "message")
        return text_of(edited) if edits and edited.get("type") != "edit" else ""
    if isinstance(kind, str) and kind not in CONTENT_KINDS:
        return ""
    for kind, name in TEXT_FIELDS:
        if text := sanitize_text(_member(message, kind).get(name)):
            return text
    return _choice(_member(message, "interactive")) or _order(_member(message, "order"))


def _choice(interactive: dict[str, Any]) -> str:
    """Return the label of a pressed button or list entry, or the fields of a submitted form as JSON."""
    for reply in interactive.values():
        if isinstance(reply, dict):
            if text := sanitize_text(reply.get("title")):
                return text
            if form := _form(reply.get("response_json")):
                return form
    return ""


def _form(response: object) -> str:
    if not isinstance(response, str):
        return ""
    try:
        fields = json.loads(response)
    except (ValueError, RecursionError):
        return sanitize_text(response)
    if isinstance(fields, dict):
        fields = {name: value for name, value in fields.items() if name != FORM_TOKEN}
    return sanitize_text(json.dumps(fields, ensure_ascii=False)) if fields else ""


def _order(order: dict[str, Any]) -> str:
    """Return the words of an order and its items, one line each."""
    items = order.get("product_items")
    lines = [sanitize_text(order.get("text"))]
    for item in items if isinstance(items, list) else ():
        product = item.get("product_retailer_id") if isinstance(item, dict) else None
        if isinstance(product, str | int):
            lines.append(f"{item.get('quantity', 1)} x {product}")
    return sanitize_text("\n".join(line for line in lines if line))


def _member(document: dict[str, Any], *path: str) -> dict[str, Any]:
    """Return the object at a path; an empty one if there is none."""
    for name in path:
        found = document.get(name)
        if not isinstance(found, dict):
            return {}
        document = found
    return document
