"""The error codes of Telegram's Bot API, by HTTP status; https://core.telegram.org/bots/api#making-requests."""

from msgctl.channels.error_codes import Code, Meaning

CODES = {
    400: Code(Meaning.NEVER, "The chat does not exist, or the text is not accepted."),
    401: Code(Meaning.STOP, "The bot's token is not valid: set [telegram] token."),
    403: Code(Meaning.NEVER, "The user has blocked the bot, or the bot was removed from the chat."),
    404: Code(Meaning.STOP, "The bot's token is not valid: set [telegram] token."),
    429: Code(Meaning.WAIT, "Too many messages: the bot's rate is closed for as long as Telegram asks.", "bot"),
}
"""In a private chat, whose own rate is kept, 429 means that the bot as a whole is too fast."""

GROUP_CODES = CODES | {
    429: Code(
        Meaning.WAIT,
        "Too many messages to this group: its rate is closed for as long as Telegram asks.",
        "chat",
        wider_limit="bot",
    ),
}
"""A group has a rate of its own. Several groups at once mean that the bot as a whole is too fast."""

EMPTY_TEXT = ("message text is empty", "text must be non-empty")
"""Telegram's words for a text in which there is nothing to see."""

DESCRIPTIONS = (
    (
        "chat not found",
        "The chat does not exist, or the user has not started the bot: check channelMetadata.chatId.",
    ),
    ("bot was blocked by the user", "The user has blocked the bot."),
    ("user is deactivated", "The user has deleted the account."),
    ("bot can't initiate conversation", "The user has not started the bot: a bot may not write first."),
    ("bot can't send messages to bots", "The chat is another bot's: bots may not write to one another."),
    ("bot was kicked", "The bot was removed from the chat."),
    ("bot is not a member", "The bot is not a member of the chat: add it."),
    ("group chat was deactivated", "The group no longer exists."),
    ("group chat was upgraded", "The group became a supergroup: set channelMetadata.chatId to its new id."),
    ("not enough rights", "The bot may not write in this chat: let an administrator of the chat permit it."),
    ("have no rights to send", "The bot may not write in this chat: let an administrator of the chat permit it."),
    ("chat_write_forbidden", "The bot may not write in this chat: let an administrator of the chat permit it."),
    ("need administrator rights", "The bot may not write in this chat: make it an administrator."),
    ("topic_closed", "The topic is closed."),
    ("message thread not found", "The topic does not exist any more."),
    ("peer_id_invalid", "The chat does not exist: check channelMetadata.chatId."),
    ("message is too long", "The text is longer than Telegram permits."),
    ("can't parse entities", "The markup of the text is not valid: check channelMetadata.parseMode."),
    ("message to be replied not found", "The message that it replies to was deleted."),
)
"""What the descriptions of 400 and 403 mean: a part of the description in lower case, and the advice."""
