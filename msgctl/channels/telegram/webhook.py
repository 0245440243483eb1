"""Authentication and parsing of Telegram's updates; https://core.telegram.org/bots/api#update."""

import hmac
from typing import Any

from msgctl.channels.inbound import (
    Inbound,
    InboundMove,
    InboundOther,
    InboundRefused,
    InboundText,
    derive_id,
    kind_of,
    sanitize_text,
)
from msgctl.channels.telegram.chat import TelegramChat, named_bot, read_chat, read_migration, unaddressed_kind
from msgctl.channels.telegram.customer import read_customer, read_quoted
from msgctl.channels.telegram.own_name import own_name
from msgctl.channels.webhook import WebhookRequest, WebhookResult, parse_json
from msgctl.config.settings import Settings
from msgctl.domain.errors import MalformedBody, NotFound, Unauthorized
from msgctl.domain.messages import Channel

EDIT_UPDATES = frozenset({"edited_message", "edited_business_message"})
MESSAGE_UPDATES = EDIT_UPDATES | {"message", "business_message"}
"""The updates that carry a message of a person."""
OTHER_BOT = "other_bot"
NAME_UNKNOWN = InboundRefused(
    Channel.TELEGRAM,
    "own_name_unknown",
    "A command in a group names a bot, and Telegram did not tell the name of ours: set [telegram] usernames.",
    kind=OTHER_BOT,
)
"""A command that may be for another bot is not answered, since a group may hold several."""
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
    if not expected or not agent_id(settings, bot):
        raise NotFound(
            "Telegram's webhook is disabled: set [telegram] webhook_secret, and agent or [inbound] routes."
        )
    if not hmac.compare_digest(expected.encode(), secret.encode()):
        raise Unauthorized("The secret token is wrong: call setWebhook again with [telegram] webhook_secret.")
    return bot


def agent_id(settings: Settings, bot: str) -> str:
    """Return the id of the agent that answers for a bot, or an empty text."""
    return settings.inbound.find_agent("telegram", bot, (_first_bot(settings), settings.telegram.agent))


def parse(settings: Settings, update: dict[str, Any], bot: str, *, name: str = "") -> Inbound:
    """Return the message that an update carries, or what else it is.

    Args:
        settings: `telegram.*`, `inbound.*`.
        update: the decoded update.
        bot: the id of its bot.
        name: the user name of that bot in lower case; empty if it is not known.

    Raises:
        MalformedBody: it has no `update_id`.
    """
    number = update.get("update_id")
    if not isinstance(number, int):
        raise MalformedBody("An update needs its update_id.")
    message_id = derive_id("tg", bot, number)
    update_kind, message = _content(update)
    chat = read_chat(bot, message) if update_kind in MESSAGE_UPDATES else None
    if chat is None:
        return InboundOther(message_id, Channel.TELEGRAM, kind_of(update_kind))
    if update_kind in EDIT_UPDATES and not settings.inbound.edits:
        return InboundOther(message_id, Channel.TELEGRAM, "edited")
    if moved := read_migration(bot, message):
        return InboundMove(Channel.TELEGRAM, "migrated", moved)
    text = sanitize_text(message.get("text")) or sanitize_text(message.get("caption"))
    return (
        _unaddressed(message_id, message, chat, bot=bot, text=text, name=name)
        or (_build_text(settings, message_id, message, chat, bot=bot, text=text) if text else None)
        or _build_other(settings, message_id, message, chat, bot=bot)
    )


def _content(update: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the kind of an update, and its object; an empty one if it holds none."""
    kind = next((name for name in update if name != "update_id"), "empty")
    message = update.get(kind)
    return kind, message if isinstance(message, dict) else {}


def _unaddressed(
    message_id: str, message: dict[str, Any], chat: TelegramChat, *, bot: str, text: str, name: str
) -> InboundOther | InboundRefused | None:
    if kind := unaddressed_kind(bot, message, chat):
        return InboundOther(message_id, Channel.TELEGRAM, kind)
    asked = named_bot(text, chat)
    if not asked or asked == name:
        return None
    return InboundOther(message_id, Channel.TELEGRAM, OTHER_BOT) if name else NAME_UNKNOWN


def _metadata(settings: Settings, chat: TelegramChat, bot: str) -> dict[str, Any]:
    return chat.metadata | ({"bot": bot} if bot != _first_bot(settings) else {})


def _build_text(
    settings: Settings, message_id: str, message: dict[str, Any], chat: TelegramChat, *, bot: str, text: str
) -> InboundText:
    return InboundText(
        message_id,
        chat.conversation_id,
        Channel.TELEGRAM,
        text,
        _metadata(settings, chat, bot),
        agent_id(settings, bot),
        customer=read_customer(message),
        quoted=read_quoted(message),
    )


def _build_other(
    settings: Settings, message_id: str, message: dict[str, Any], chat: TelegramChat, *, bot: str
) -> InboundOther:
    kind = next((name for name in message if name in CONTENT_FIELDS), "other")
    is_answered = kind != "other" and chat.is_private  # in a group it was not for the bot
    return InboundOther(
        message_id,
        Channel.TELEGRAM,
        kind,
        chat.conversation_id if is_answered else "",
        _metadata(settings, chat, bot),
    )


def _first_bot(settings: Settings) -> str:
    return next(iter(settings.telegram.bots), "")


async def receive(settings: Settings, request: WebhookRequest) -> WebhookResult:
    """Authenticate and parse one update. Telegram is asked for the bot's name if a command names a bot."""
    secret = request.headers.get("x-telegram-bot-api-secret-token", "")
    bot = check_secret(settings, secret, str(request.path_parameters.get("bot", "")))
    update = parse_json(await request.body())
    found = parse(settings, update, bot)
    if found is NAME_UNKNOWN and (name := await own_name(settings, bot)):
        found = parse(settings, update, bot, name=name)
    return WebhookResult([found])
