"""Telegram's updates; https://core.telegram.org/bots/api#update."""

import hmac
from typing import Any

from msgctl.config import Settings
from msgctl.errors import MalformedBody, NotFound, Unauthorized
from msgctl.inbound.word import Word, readable, stand_for
from msgctl.messages import Channel


def check(settings: Settings, secret: str) -> None:
    """Pass if an update is Telegram's.

    Args:
        settings: `telegram.webhook_secret`.
        secret: the header `X-Telegram-Bot-Api-Secret-Token`.

    Raises:
        NotFound: the webhook is closed.
        Unauthorized: it is not.
    """
    expected = settings.telegram.webhook_secret.get_secret_value()
    if not expected or not settings.telegram.agent:
        raise NotFound("Telegram's webhook is closed: set [telegram] webhook_secret and agent.")
    if not hmac.compare_digest(expected.encode(), secret.encode()):
        raise Unauthorized("The secret token is not the one that setWebhook was given.")


def read(settings: Settings, update: dict[str, Any]) -> Word | None:
    """The text of an update; None for updates of any other kind.

    Raises:
        MalformedBody: it is no update.
    """
    number = update.get("update_id")
    if not isinstance(number, int):
        raise MalformedBody("An update needs its update_id.")
    message = update.get("message")
    chat = message.get("chat") if isinstance(message, dict) else None
    if not isinstance(message, dict) or not isinstance(chat, dict) or not isinstance(chat.get("id"), int):
        return None
    text = readable(message.get("text"))
    if not text:
        return None
    bot = settings.telegram.token.get_secret_value().partition(":")[0]
    metadata: dict[str, Any] = {"chatId": chat["id"]}
    if chat.get("type") != "private" and isinstance(message.get("message_id"), int):
        metadata["replyToMessageId"] = message["message_id"]  # in a group, show whom it answers
    return Word(
        message_id=stand_for("tg", bot, number),
        conversation_id=stand_for("tg", bot, chat["id"]),
        channel=Channel.TELEGRAM,
        text=text,
        metadata=metadata,
        agent_id=settings.telegram.agent,
    )
