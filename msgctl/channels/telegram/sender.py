"""The sender of Telegram, through the Bot API."""

from typing import Any, ClassVar

import msgspec

from msgctl.channels.send_limits import SendLimits, digest, rate
from msgctl.channels.telegram.answers import correct, sent_id
from msgctl.channels.telegram.rate_limits import bot_rate
from msgctl.channels.text.composer import TELEGRAM
from msgctl.channels.text.reply import compose_reply
from msgctl.channels.text.styled import TextPart
from msgctl.config.settings import Settings
from msgctl.domain.errors import BadAddress, DeliveryUnknown
from msgctl.domain.messages import Response
from msgctl.http.client import Answer, HttpClient

PARSE_MODES = frozenset({"HTML", "Markdown", "MarkdownV2"})
PLACE_FIELDS: dict[str, tuple[str, type]] = {
    "messageThreadId": ("message_thread_id", int),
    "businessConnectionId": ("business_connection_id", str),
    "directMessagesTopicId": ("direct_messages_topic_id", int),
}
"""The fields of `channelMetadata` that say where in a chat the reply goes, with those of the Bot API."""
MAX_CORRECTIONS = 3
"""How often a rejected message is sent again in a corrected form: its markup, its reply, and its chat."""
GROUP_RATE, GROUP_BURST = 20 / 60, 20
"""Messages per second to a group, and the burst."""


class TelegramSender:
    """Sends texts as one or several bots.

    Args:
        settings: `telegram.*` and `reply.*`.
        client: makes the HTTP requests.
    """

    idempotent: ClassVar[bool] = False
    schedule = None

    def __init__(self, settings: Settings, client: HttpClient) -> None:
        self._settings = settings.telegram
        self._bots = settings.telegram.bots
        self._reply_settings = settings.reply
        self._client = client

    def send_limits(self, response: Response) -> SendLimits:
        """Return the rate of the bot and the rate of the chat."""
        chat = _chat(response)
        bot = self._bot(response)
        name = f"telegram:chat:{digest(f'{bot} {chat}')}"
        per_second, burst = (GROUP_RATE, GROUP_BURST) if _is_group(chat) else (self._settings.chat_rate, 1)
        return SendLimits((bot_rate(bot, self._settings.rate), rate("chat", name, per_second, burst)))

    def unknown_policy(self, response: Response) -> str:  # noqa: ARG002 - it is the same for all bots
        """Return the policy from the settings."""
        return self._settings.unknown

    async def find_sent(self, response: Response, part: TextPart, since: float) -> str | None:  # noqa: ARG002 - as the protocol has it
        """Raise: the Bot API cannot be asked.

        Raises:
            DeliveryUnknown: always.
        """
        raise DeliveryUnknown("Telegram cannot be asked what arrived.")

    def parts(self, response: Response) -> list[TextPart]:
        """Return the text in parts of 4096 UTF-16 units, its styles as entities or in the declared parse mode.

        Raises:
            BadAddress: `channelMetadata.parseMode` is not a parse mode.
            ReplyTooLong: as `compose_reply` says.
        """
        return compose_reply(response, TELEGRAM, self._reply_settings, markup=_parse_mode(response))

    async def send(self, response: Response, part: TextPart, *, first: bool) -> str:
        """Send one part and return Telegram's `message_id`; correct what it rejects if `correct` can.

        Raises:
            DeliveryFailed: as `ChannelSender.send` says.
        """
        message = _message(response, part, first=first)
        bot = self._bot(response)
        answer = await self._call(bot, message)
        for _ in range(MAX_CORRECTIONS):
            if (corrected := correct(message, answer)) is None:
                break
            message = corrected
            answer = await self._call(bot, message)
        return sent_id(answer, is_group=_is_group(_chat(response)))

    def _bot(self, response: Response) -> str:
        """Return the id of the bot that sends a response."""
        if not self._bots:
            raise BadAddress("Telegram is not set up: set [telegram] token.", code="not_configured")
        bot = str(response.channel_metadata.get("bot", next(iter(self._bots))))
        if bot not in self._bots:
            raise BadAddress("channelMetadata.bot must be the id of a bot whose token is in [telegram] token.")
        return bot

    async def _call(self, bot: str, message: dict[str, Any]) -> Answer:
        return await self._client.post(
            f"{self._settings.base_url.rstrip('/')}/bot{self._bots[bot]}/sendMessage",
            who="telegram",
            headers={"Content-Type": "application/json"},
            body=msgspec.json.encode(message),
        )


def _chat(response: Response) -> int | str:
    chat_id = response.channel_metadata.get("chatId")
    if not isinstance(chat_id, int | str) or isinstance(chat_id, bool) or not chat_id:
        raise BadAddress("channelMetadata.chatId must be the id of a chat or @name.")
    return chat_id


def _is_group(chat: int | str) -> bool:
    return str(chat).startswith(("-", "@"))


def _parse_mode(response: Response) -> str:
    """Return the mark-up that the response declares; empty if it declares none."""
    mode = response.channel_metadata.get("parseMode")
    if mode is None:
        return ""
    if not isinstance(mode, str) or mode not in PARSE_MODES:
        raise BadAddress("channelMetadata.parseMode must be HTML, Markdown or MarkdownV2.")
    return mode


def _message(response: Response, part: TextPart, *, first: bool) -> dict[str, Any]:
    reply_to, mode = response.channel_metadata.get("replyToMessageId"), _parse_mode(response)
    message: dict[str, Any] = {"chat_id": _chat(response), "text": part.text}
    if reply_to is not None:
        if not isinstance(reply_to, int) or isinstance(reply_to, bool):
            raise BadAddress("channelMetadata.replyToMessageId must be a number.")
        if first:
            message["reply_parameters"] = {"message_id": reply_to, "allow_sending_without_reply": True}
    for name, (field, kind) in PLACE_FIELDS.items():
        if (value := response.channel_metadata.get(name)) is not None:
            if not isinstance(value, kind) or isinstance(value, bool):
                raise BadAddress(f"channelMetadata.{name} must be the one of an update of Telegram.")
            message[field] = value
    if part.entities:  # the Bot API takes either these or a parse mode
        message["entities"] = part.entities
    elif mode:
        message["parse_mode"] = mode
    return message
