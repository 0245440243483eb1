"""The user names of the configured bots, by which groups address commands: `/help@shop_bot`."""

import asyncio
import time

from msgctl.config.settings import Settings
from msgctl.domain.errors import DeliveryFailed

TIMEOUT_S = 3.0
"""Seconds that Telegram may take to tell the name, because a webhook waits for it."""
RETRY_AFTER_S = 60.0
"""Seconds before Telegram is asked again after it gave no name."""

_names: dict[tuple[str, str], str] = {}
"""The name that Telegram told, by base URL and token. A bot that is renamed needs a restart of the gateway."""
_failed_at: dict[tuple[str, str], float] = {}


async def own_name(settings: Settings, bot: str) -> str:
    """Return the user name of a bot in lower case, as configured or as Telegram tells it; empty if unknown."""
    telegram = settings.telegram
    configured = dict(zip(telegram.bots, telegram.usernames, strict=False)).get(bot)
    if configured:
        return configured.lower()
    key = (telegram.base_url, telegram.bots.get(bot, ""))
    is_due = time.monotonic() - _failed_at.get(key, -RETRY_AFTER_S) >= RETRY_AFTER_S
    if key not in _names and key[1] and is_due:
        if name := await _ask(settings, key[1]):
            _names[key] = name.lower()
        else:
            _failed_at[key] = time.monotonic()
    return _names.get(key, "")


async def _ask(settings: Settings, token: str) -> str:
    from msgctl.http.client import HttpClient  # noqa: PLC0415 - aiohttp takes 0.3 s, and few bots are in groups

    url = f"{settings.telegram.base_url.rstrip('/')}/bot{token}/getMe"
    try:
        async with asyncio.timeout(TIMEOUT_S), HttpClient(settings) as client:
            result = (await client.get(url, who="telegram", headers={})).document().get("result")
    except (DeliveryFailed, TimeoutError):
        return ""
    name = result.get("username") if isinstance(result, dict) else None
    return name if isinstance(name, str) else ""
