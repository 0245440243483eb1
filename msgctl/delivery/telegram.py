"""Telegram by the Bot API."""

from typing import Any, ClassVar

import msgspec

from msgctl.config import Settings
from msgctl.delivery.parts import split, utf16_units
from msgctl.delivery.posting import Answer, Poster
from msgctl.errors import BadAddress, DeliveryUnknown, ProviderRejected
from msgctl.messages import Response

LIMIT = 4096
"""UTF-16 units of a text."""
PARSE_MODES = frozenset({"HTML", "Markdown", "MarkdownV2"})
CANNOT_PARSE = "can't parse entities"
ADVICE = {
    400: "The chat does not exist, or the text is not accepted.",
    401: "The token is not valid: set [telegram] token.",
    403: "The user has blocked the bot, or the bot was removed from the chat.",
    404: "The token is not valid: set [telegram] token.",
}


class Telegram:
    """Sends texts as one bot.

    Args:
        settings: `telegram.*`.
        poster: makes the calls.
    """

    repeatable: ClassVar[bool] = False

    def __init__(self, settings: Settings, poster: Poster) -> None:
        self._settings = settings.telegram
        self._poster = poster

    def parts(self, response: Response) -> list[str]:
        """The text in parts of 4096 UTF-16 units."""
        return split(response.response.message, LIMIT, utf16_units)

    async def send(self, response: Response, text: str, *, first: bool) -> str:
        """Send one part; its id is Telegram's `message_id`. What cannot be parsed goes once more as plain text.

        Raises:
            DeliveryFailed: as `Handler.send` says.
        """
        message = _message(response, text, first=first)
        answer = await self._call(message)
        if "parse_mode" in message and _cannot_parse(answer):
            del message["parse_mode"]
            answer = await self._call(message)
        if not answer.ok:
            raise _rejection(answer)
        result = answer.document().get("result")
        if not isinstance(result, dict) or "message_id" not in result:
            raise DeliveryUnknown("telegram answered without the id of a message.", code="telegram_no_id")
        return str(result["message_id"])

    async def _call(self, message: dict[str, Any]) -> Answer:
        token = self._settings.token.get_secret_value()
        if not token:
            raise BadAddress("Telegram is not set up: set [telegram] token.", code="not_configured")
        return await self._poster.post(
            f"{self._settings.base_url.rstrip('/')}/bot{token}/sendMessage",
            who="telegram",
            headers={"Content-Type": "application/json"},
            body=msgspec.json.encode(message),
        )


def _message(response: Response, text: str, *, first: bool) -> dict[str, Any]:
    metadata = response.channel_metadata
    chat_id, reply_to, mode = (metadata.get(name) for name in ("chatId", "replyToMessageId", "parseMode"))
    if not isinstance(chat_id, int | str) or isinstance(chat_id, bool) or not chat_id:
        raise BadAddress("channelMetadata.chatId must be the number of a chat or @name.")
    if mode is not None and mode not in PARSE_MODES:
        raise BadAddress("channelMetadata.parseMode must be HTML, Markdown or MarkdownV2.")
    message: dict[str, Any] = {"chat_id": chat_id, "text": text}
    if reply_to is not None:
        if not isinstance(reply_to, int) or isinstance(reply_to, bool):
            raise BadAddress("channelMetadata.replyToMessageId must be a number.")
        if first:
            message["reply_parameters"] = {"message_id": reply_to, "allow_sending_without_reply": True}
    if mode is not None:
        message["parse_mode"] = mode
    return message


def _cannot_parse(answer: Answer) -> bool:
    return answer.status == 400 and CANNOT_PARSE in str(answer.document().get("description"))


def _rejection(answer: Answer) -> ProviderRejected:
    rejection = answer.rejection("telegram", advice=ADVICE.get(answer.status, ""))
    parameters = answer.document().get("parameters")
    wait = parameters.get("retry_after") if isinstance(parameters, dict) else None
    if isinstance(wait, int | float):
        rejection.retry_after = float(wait)
    return rejection
