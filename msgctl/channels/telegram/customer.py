"""Who wrote a message of Telegram, and what it quotes; https://core.telegram.org/bots/api#message."""

from typing import Any

from msgspec import UnsetType

from msgctl.channels.inbound import describe_customer, describe_quoted
from msgctl.domain.messages import Customer, Quoted


def read_customer(message: dict[str, Any]) -> Customer | UnsetType:
    """Return the sender of a message: a user, or the chat in whose name an anonymous administrator writes."""
    chat, user = _object(message.get("sender_chat")), _object(message.get("from"))
    if chat:
        return describe_customer(chat.get("id"), chat.get("title"), username=chat.get("username"))
    names = (user.get("first_name"), user.get("last_name"))
    return describe_customer(
        user.get("id"),
        " ".join(name for name in names if isinstance(name, str)),
        username=user.get("username"),
        language=user.get("language_code"),
    )


def read_quoted(message: dict[str, Any]) -> Quoted | UnsetType:
    """Return what a message answers: the passage that its sender marked, or the whole message.

    Telegram's numbers of messages are not ids of msgctl, so only the text is known.
    """
    whole = _object(message.get("reply_to_message"))
    marked = _object(message.get("quote")).get("text")
    return describe_quoted(text=marked or whole.get("text") or whole.get("caption"))


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
