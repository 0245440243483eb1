"""Authentication and parsing of Telegram's updates; https://core.telegram.org/bots/api#update."""

import hmac
from typing import Any

from msgctl.channels.inbound import InboundOther, InboundText, derive_id, kind_of, sanitize_text
from msgctl.channels.telegram.customer import read_customer, read_quoted
from msgctl.channels.webhook import WebhookRequest, WebhookResult, parse_json
from msgctl.config.settings import Settings
from msgctl.domain.errors import MalformedBody, NotFound, Unauthorized
from msgctl.domain.messages import Channel

MESSAGE_UPDATES = ("message", "edited_message")
"""The updates that carry a message of a person."""
CONTENT_FIELDS = frozenset(
    {"animation", "audio", "contact", "dice", "document", "game", "location", "paid_media", "photo", "poll"}
    | {"sticker", "story", "venue", "video", "video_note", "voice"}
)
"""The fields of a message that is not a text; a message with none of them is a notice of Telegram."""


def check_secret(settings: Settings, secret: str, bot: str) -> str:
    """Check that an update comes from Telegram, and return the id of its bot.

    Args:
        settings: `telegram.*`, `inbound.routes`.
        secret: the header `X-Telegram-Bot-Api-Secret-Token`.
        bot: the bot in the webhook's path; empty: the first bot.

    Raises:
        NotFound: the webhook is disabled.
        Unauthorized: the secret token is wrong.
    """
    expected = settings.telegram.webhook_secret.get_secret_value()
    bot = bot or _first_bot(settings)
    if not expected or not _agent_id(settings, bot):
        raise NotFound(
            "Telegram's webhook is disabled: set [telegram] webhook_secret, and agent or [inbound] routes."
        )
    if not hmac.compare_digest(expected.encode(), secret.encode()):
        raise Unauthorized("The secret token is wrong: call setWebhook again with [telegram] webhook_secret.")
    return bot


def _agent_id(settings: Settings, bot: str) -> str:
    """Return the id of the agent that answers for a bot, or an empty text."""
    routed = settings.inbound.agents("telegram").get(bot, "")
    return routed or (settings.telegram.agent if bot == _first_bot(settings) else "")


def parse(settings: Settings, update: dict[str, Any], bot: str) -> InboundText | InboundOther:
    """Return the message that an update carries.

    Args:
        settings: `telegram.*`, `inbound.*`.
        update: the decoded update.
        bot: the id of its bot.

    Raises:
        MalformedBody: it has no `update_id`.
    """
    number = update.get("update_id")
    if not isinstance(number, int):
        raise MalformedBody("An update needs its update_id.")
    message_id = derive_id("tg", bot, number)
    update_kind = next((name for name in update if name != "update_id"), "empty")
    message = update.get(update_kind)
    chat = message.get("chat") if isinstance(message, dict) else None
    is_message = update_kind in MESSAGE_UPDATES and isinstance(chat, dict) and isinstance(chat.get("id"), int)
    if not is_message or not isinstance(message, dict) or not isinstance(chat, dict):
        return InboundOther(message_id, Channel.TELEGRAM, kind_of(update_kind))
    if update_kind == "edited_message" and not settings.inbound.edits:
        return InboundOther(message_id, Channel.TELEGRAM, "edited")
    conversation_id = derive_id("tg", bot, chat["id"])
    metadata: dict[str, Any] = {"chatId": chat["id"]}
    if bot != _first_bot(settings):
        metadata["bot"] = bot
    if chat.get("type") != "private" and isinstance(message.get("message_id"), int):
        metadata["replyToMessageId"] = message["message_id"]  # in a group, show which message is answered
    text = sanitize_text(message.get("text")) or sanitize_text(message.get("caption"))
    if not text:
        kind = next((name for name in message if name in CONTENT_FIELDS), "other")
        is_answered = kind != "other" and chat.get("type") == "private"  # in a group it was not for the bot
        return InboundOther(message_id, Channel.TELEGRAM, kind, conversation_id if is_answered else "", metadata)
    return InboundText(
        message_id,
        conversation_id,
        Channel.TELEGRAM,
        text,
        metadata,
        _agent_id(settings, bot),
        customer=read_customer(message),
        quoted=read_quoted(message),
    )


def _first_bot(settings: Settings) -> str:
    return next(iter(settings.telegram.bots), "")


async def receive(settings: Settings, request: WebhookRequest) -> WebhookResult:
    """Authenticate and parse one update."""
    secret = request.headers.get("x-telegram-bot-api-secret-token", "")
    bot = check_secret(settings, secret, str(request.path_parameters.get("bot", "")))
    return WebhookResult([parse(settings, parse_json(await request.body()), bot)])
