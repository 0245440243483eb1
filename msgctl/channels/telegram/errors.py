"""The error codes of Telegram's Bot API, by HTTP status; https://core.telegram.org/bots/api#making-requests."""

from msgctl.channels.error_codes import Code, Meaning

CODES = {
    400: Code(Meaning.NEVER, "The chat does not exist, or the text is not accepted."),
    401: Code(Meaning.STOP, "The bot's token is not valid: set [telegram] token."),
    403: Code(Meaning.NEVER, "The user has blocked the bot, or the bot was removed from the chat."),
    404: Code(Meaning.STOP, "The bot's token is not valid: set [telegram] token."),
    429: Code(Meaning.WAIT, "Too many messages: the bot's rate is closed for as long as Telegram asks.", "bot"),
}
