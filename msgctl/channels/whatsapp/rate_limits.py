"""The rates of the WhatsApp numbers."""

from msgctl.channels.send_limits import Bucket, digest, rate
from msgctl.config.settings import Settings


def number_rate(provider: str, number: str, per_second: float) -> Bucket:
    """Return the rate of one number, which all processes share."""
    return rate("number", f"whatsapp:{provider}:{digest(number)}", per_second)


def rate_buckets(settings: Settings) -> tuple[Bucket, ...]:
    """Return the rate of each number of the configured provider."""
    whatsapp, twilio = settings.whatsapp, settings.twilio
    uses_twilio = whatsapp.provider == "twilio"
    first, per_second = (twilio.sender, twilio.rate) if uses_twilio else (whatsapp.phone_number_id, whatsapp.rate)
    further = settings.inbound.agents("twilio" if uses_twilio else "whatsapp")
    return tuple(number_rate(whatsapp.provider, number, per_second) for number in (first, *further))
