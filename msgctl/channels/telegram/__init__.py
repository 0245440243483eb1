"""Channel `telegram`: the Bot API."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from msgctl.channels.base import ChannelSpec, SettingsProblem
from msgctl.channels.telegram import errors, webhook
from msgctl.channels.telegram.rate_limits import rate_buckets
from msgctl.channels.webhook import Webhook
from msgctl.config.settings import Settings

if TYPE_CHECKING:
    from msgctl.channels.telegram.sender import TelegramSender
    from msgctl.http.client import HttpClient


def _create_sender(settings: Settings, client: "HttpClient", _: "HttpClient") -> "TelegramSender":
    from msgctl.channels.telegram.sender import TelegramSender  # noqa: PLC0415 - aiohttp takes 0.3 s

    return TelegramSender(settings, client)


def _check_settings(settings: Settings) -> Iterator[SettingsProblem]:
    if missing := settings.inbound.agents("telegram").keys() - settings.telegram.bots.keys():
        yield SettingsProblem(
            f"[inbound] routes names bots without a token: {', '.join(sorted(missing))}.",
            "Messages to them are answered, but the replies cannot be sent.",
            "add the bots' tokens to [telegram] token, separated by spaces",
        )


def _find_agent(settings: Settings, metadata: Mapping[str, Any]) -> str:
    bot = str(metadata.get("bot", next(iter(settings.telegram.bots), "")))
    return webhook.agent_id(settings, bot)


def _parse_chat(address: str) -> int | str:
    return int(address) if address.lstrip("-").isdigit() else address


CHANNEL = ChannelSpec(
    name="telegram",
    is_configured=lambda settings: bool(settings.telegram.token.get_secret_value()),
    create_sender=_create_sender,
    webhooks=(
        Webhook("/webhooks/telegram", webhook.receive),
        Webhook("/webhooks/telegram/{bot:int}", webhook.receive),
    ),
    address_field="chatId",
    example_address="123456789",
    sender_field="bot",
    parse_address=_parse_chat,
    error_codes={"telegram": errors.CODES},
    error_advice={"telegram_no_id": "Telegram answered without the id of a message; it may have arrived."},
    rate_buckets=rate_buckets,
    check_settings=_check_settings,
    find_agent=_find_agent,
)
