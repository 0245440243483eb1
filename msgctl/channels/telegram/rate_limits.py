"""The rates of the Telegram bots."""

from msgctl.channels.send_limits import Bucket, rate
from msgctl.config.settings import Settings


def bot_rate(bot: str, per_second: float) -> Bucket:
    """Return the rate of one bot, which all processes share."""
    return rate("bot", f"telegram:bot:{bot}", per_second)


def rate_buckets(settings: Settings) -> tuple[Bucket, ...]:
    """Return the rate of each bot."""
    return tuple(bot_rate(bot, settings.telegram.rate) for bot in settings.telegram.bots)
