"""Where a message of Telegram was written, and whether it is for the bot.

A chat is more than its id: a topic of a forum, a business account, and a channel's direct messages have
conversations of their own, and a reply has to name them. See https://core.telegram.org/bots/api#message.
"""

import re
from typing import Any

import msgspec

from msgctl.channels.inbound import derive_id

GROUP_TYPES = frozenset({"group", "supergroup"})
COMMAND_OF_A_BOT = re.compile(r"/\w{1,64}@(\w{3,64})\b", re.ASCII)
"""A command that names its bot, at the beginning of a text."""


class TelegramChat(msgspec.Struct, frozen=True):
    """The chat of a message, or the part of it that is a conversation."""

    conversation_id: str
    metadata: dict[str, Any]
    """The address of the reply, without the bot."""
    is_group: bool
    is_private: bool


def read_chat(bot: str, message: dict[str, Any]) -> TelegramChat | None:
    """Return the chat of a message, or None if the message names none.

    Args:
        bot: the id of the bot that received it.
        message: the message of an update.
    """
    chat = message.get("chat")
    chat_id = chat.get("id") if isinstance(chat, dict) else None
    if not isinstance(chat, dict) or not isinstance(chat_id, int) or isinstance(chat_id, bool):
        return None
    metadata: dict[str, Any] = {"chatId": chat_id}
    parts: list[object] = [chat_id]
    connection, topic = message.get("business_connection_id"), _topic(message)
    if isinstance(connection, str) and connection:
        metadata["businessConnectionId"] = connection
        parts = ["business", connection, chat_id]
    if topic:
        metadata["messageThreadId"] = topic
        parts += ["topic", topic]
    direct = message.get("direct_messages_topic")
    if isinstance(direct, dict) and isinstance(direct.get("topic_id"), int):
        metadata["directMessagesTopicId"] = direct["topic_id"]
        parts += ["direct", direct["topic_id"]]
    kind = chat.get("type")
    if kind != "private" and isinstance(message.get("message_id"), int):
        metadata["replyToMessageId"] = message["message_id"]  # in a group, show which message is answered
    return TelegramChat(derive_id("tg", bot, *parts), metadata, kind in GROUP_TYPES, kind == "private")


def read_migration(bot: str, message: dict[str, Any]) -> tuple[str, ...]:
    """Return the conversations of the old and the new id of a group that became a supergroup, or nothing."""
    chat = message.get("chat")
    here = chat.get("id") if isinstance(chat, dict) else None
    old, new = message.get("migrate_from_chat_id") or here, message.get("migrate_to_chat_id") or here
    if not isinstance(old, int) or not isinstance(new, int) or old == new:
        return ()
    return (derive_id("tg", bot, old), derive_id("tg", bot, new))


def unaddressed_kind(bot: str, message: dict[str, Any], chat: TelegramChat) -> str:
    """Return why a message is not for the bot, as a kind to count; empty if it may be.

    An anonymous administrator and a person who writes in the name of a channel look like bots, but have a
    `sender_chat`.
    """
    sender = message.get("from")
    sender = sender if isinstance(sender, dict) else {}
    if message.get("is_automatic_forward") is True:
        return "automatic_forward"
    if str(sender.get("id")) == bot or "sender_business_bot" in message:
        return "echo"
    if "businessConnectionId" in chat.metadata and sender.get("id") != chat.metadata["chatId"]:
        return "echo"  # the owner of the business account answers in person
    if sender.get("is_bot") is True and not isinstance(message.get("sender_chat"), dict):
        return "bot"
    if chat.is_group and "via_bot" in message:
        return "via_bot"
    return "channel_forward" if chat.is_group and _is_channel_forward(message) else ""


def named_bot(text: str, chat: TelegramChat) -> str:
    """Return the user name of the bot that a command in a group is for, in lower case; empty if it names none."""
    match = COMMAND_OF_A_BOT.match(text) if chat.is_group else None
    return match[1].lower() if match else ""


def _topic(message: dict[str, Any]) -> int:
    """Return the topic of a message; 0 for none. A thread of replies in a group without topics is no topic."""
    thread = message.get("message_thread_id")
    return thread if message.get("is_topic_message") is True and isinstance(thread, int) else 0


def _is_channel_forward(message: dict[str, Any]) -> bool:
    origin, chat = message.get("forward_origin"), message.get("forward_from_chat")
    return any(isinstance(source, dict) and source.get("type") == "channel" for source in (origin, chat))
