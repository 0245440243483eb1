"""The answers of Telegram's Bot API to `sendMessage`; https://core.telegram.org/bots/api#making-requests."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgctl.channels.error_codes import failure
from msgctl.channels.telegram.errors import CODES, DESCRIPTIONS, EMPTY_TEXT, GROUP_CODES
from msgctl.domain.errors import BadAddress, DeliveryFailed, DeliveryUnknown

if TYPE_CHECKING:
    from msgctl.http.client import Answer  # importing aiohttp takes 0.3 s, and the tests of this module need none

MESSAGE_ID_REGEX = re.compile(r'"ok"\s*:\s*true\b.*?"result"\s*:\s*\{\s*"message_id"\s*:\s*([0-9]+)\b', re.DOTALL)
"""Where Telegram puts the id of the sent message, before everything else of it."""
REPLY_IS_GONE = ("message to be replied not found", "message to reply not found", "replied message not found")
MARKUP_FIELDS = frozenset({"parse_mode", "entities"})
BAD_MARKUP_REGEX = re.compile(r"can't parse|entit(?:y|ies)", re.IGNORECASE)
"""What Telegram says of mark-up that it refuses: `can't parse entities`, `ENTITY_BOUNDS_INVALID` and its like."""
OWN_STATUSES = frozenset({401, 404, 429})
"""Statuses that mean the same whoever gives them."""


def sent_id(answer: "Answer", *, is_group: bool) -> str:
    """Return the `message_id` of a sent message.

    Args:
        answer: the answer.
        is_group: whether the chat is a group or a channel, which has a rate of its own.

    Raises:
        DeliveryFailed: it was rejected, or its outcome is unknown.
    """
    if not answer.ok:
        raise rejection(answer, is_group=is_group)
    result = answer.document().get("result")
    if isinstance(result, dict) and isinstance(result.get("message_id"), int):
        return str(result["message_id"])
    if cut := MESSAGE_ID_REGEX.search(answer.text()):
        return cut[1]  # the answer broke off behind the id
    raise DeliveryUnknown(
        f"telegram answered HTTP {answer.status} without the id of a message.",
        code="telegram_no_id",
        is_probably_sent=answer.claims_json,
    )


def correct(message: Mapping[str, Any], answer: "Answer") -> dict[str, Any] | None:
    """Return the message to send instead of one that Telegram has rejected; None if nothing can be corrected.

    Mark-up that Telegram refuses is sent as plain text, a reply to a deleted message as a plain message, and a
    message to a group that became a supergroup to that one.
    """
    if answer.status != 400:
        return None
    text = _description(answer)
    if message.keys() & MARKUP_FIELDS and BAD_MARKUP_REGEX.search(text):
        return {name: value for name, value in message.items() if name not in MARKUP_FIELDS}
    if "reply_parameters" in message and any(words in text for words in REPLY_IS_GONE):
        return {name: value for name, value in message.items() if name != "reply_parameters"}
    chat = _parameters(answer).get("migrate_to_chat_id")
    if isinstance(chat, int) and not isinstance(chat, bool) and chat != message.get("chat_id"):
        return {**message, "chat_id": chat}
    return None


def rejection(answer: "Answer", *, is_group: bool) -> DeliveryFailed:
    """Return the error that an unsuccessful answer means; its description tells the 400s and 403s apart."""
    description = _description(answer)
    if answer.status == 400 and any(words in description for words in EMPTY_TEXT):
        return BadAddress("Telegram found nothing to show in the reply.", code="blank_reply")
    seconds = _parameters(answer).get("retry_after")
    is_own = answer.document().get("ok") is False or answer.status in OWN_STATUSES
    return failure(
        "telegram",
        answer,
        answer.status if is_own else None,
        GROUP_CODES if is_group else CODES,
        retry_after=float(seconds) if isinstance(seconds, int | float) else None,
        rate="bot",
        advice=next((advice for words, advice in DESCRIPTIONS if words in description), ""),
    )


def _description(answer: "Answer") -> str:
    """Return Telegram's own description in lower case."""
    return str(answer.document().get("description") or "").casefold()


def _parameters(answer: "Answer") -> dict[str, Any]:
    parameters = answer.document().get("parameters")
    return parameters if isinstance(parameters, dict) else {}
