"""Telegram's updates; https://core.telegram.org/bots/api#update."""

import hmac
from typing import Any

from msgctl.channels.inbound import InboundOther, InboundText, derive_id, kind_of, sanitize_text
from msgctl.channels.webhook import WebhookRequest, WebhookResult, parse_json
from msgctl.config.settings import Settings
from msgctl.domain.errors import MalformedBody, NotFound, Unauthorized
from msgctl.domain.messages import Channel

WRITTEN = ("message", "edited_message")
"""The updates in which a person says something to the bot."""
CONTENT = frozenset(
    {"animation", "audio", "contact", "dice", "document", "game", "location", "paid_media", "photo", "poll"}
    | {"sticker", "story", "venue", "video", "video_note", "voice"}
)
"""The fields of a message that make it something else than a text; without any it is a notice of Telegram's."""


def check(settings: Settings, secret: str, bot: str) -> str:
    """The id of the bot that an update is for, if it is Telegram's.

    Args:
        settings: `telegram.*`, `inbound.routes`.
        secret: the header `X-Telegram-Bot-Api-Secret-Token`.
        bot: from the webhook's path; empty: the first bot.

    Raises:
        NotFound: the webhook is closed.
        Unauthorized: it is not.
    """
    expected = settings.telegram.webhook_secret.get_secret_value()
    bot = bot or _first(settings)
    if not expected or not agent_of(settings, bot):
        raise NotFound(
            "Telegram's webhook is closed: set [telegram] webhook_secret, and agent or [inbound] routes."
        )
    if not hmac.compare_digest(expected.encode(), secret.encode()):
        raise Unauthorized("The secret token is not the one that setWebhook was given.")
    return bot


def agent_of(settings: Settings, bot: str) -> str:
    """The id of the agent that answers for a bot; empty: none does."""
    routed = settings.inbound.agents("telegram").get(bot, "")
    return routed or (settings.telegram.agent if bot == _first(settings) else "")


def read(settings: Settings, update: dict[str, Any], bot: str) -> InboundText | InboundOther:
    """What an update brings.

    Args:
        settings: `telegram.*`, `inbound.*`.
        update: as it came.
        bot: whom it is for.

    Raises:
        MalformedBody: it is no update.
    """
    number = update.get("update_id")
    if not isinstance(number, int):
        raise MalformedBody("An update needs its update_id.")
    ours = derive_id("tg", bot, number)
    what = next((name for name in update if name != "update_id"), "empty")
    message = update.get(what)
    chat = message.get("chat") if isinstance(message, dict) else None
    known = what in WRITTEN and isinstance(chat, dict) and isinstance(chat.get("id"), int)
    if not known or not isinstance(message, dict) or not isinstance(chat, dict):
        return InboundOther(ours, Channel.TELEGRAM, kind_of(what))
    if what == "edited_message" and not settings.inbound.edits:
        return InboundOther(ours, Channel.TELEGRAM, "edited")
    conversation = derive_id("tg", bot, chat["id"])
    metadata: dict[str, Any] = {"chatId": chat["id"]}
    if bot != _first(settings):
        metadata["bot"] = bot
    if chat.get("type") != "private" and isinstance(message.get("message_id"), int):
        metadata["replyToMessageId"] = message["message_id"]  # in a group, show whom it answers
    text = sanitize_text(message.get("text")) or sanitize_text(message.get("caption"))
    if not text:
        kind = next((name for name in message if name in CONTENT), "other")
        is_told = kind != "other" and chat.get("type") == "private"  # nobody in a group has asked the bot
        return InboundOther(ours, Channel.TELEGRAM, kind, conversation if is_told else "", metadata)
    return InboundText(ours, conversation, Channel.TELEGRAM, text, metadata, agent_of(settings, bot))


def _first(settings: Settings) -> str:
    return next(iter(settings.telegram.bots), "")


async def receive(settings: Settings, request: WebhookRequest) -> WebhookResult:
    """Take one update."""
    secret = request.headers.get("x-telegram-bot-api-secret-token", "")
    bot = check(settings, secret, str(request.path_parameters.get("bot", "")))
    return WebhookResult([read(settings, parse_json(await request.body()), bot)])
