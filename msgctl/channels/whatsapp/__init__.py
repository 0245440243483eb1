"""Channel `whatsapp`, through the Cloud API of Meta or through Twilio."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from msgctl.channels.base import ChannelSpec, ReplyWindow, SettingsProblem
from msgctl.channels.webhook import Webhook
from msgctl.channels.whatsapp import cloud_messages, cloud_webhook, errors, twilio_webhook
from msgctl.channels.whatsapp.addresses import STATUS_PATH
from msgctl.channels.whatsapp.rate_limits import rate_buckets
from msgctl.config.settings import Settings

if TYPE_CHECKING:
    from msgctl.channels.whatsapp.sender import WhatsAppSender
    from msgctl.http.client import HttpClient


def _create_sender(settings: Settings, client: "HttpClient", _: "HttpClient") -> "WhatsAppSender":
    from msgctl.channels.whatsapp.sender import WhatsAppSender  # noqa: PLC0415 - aiohttp takes 0.3 s

    return WhatsAppSender(settings, client)


def _credentials(settings: Settings) -> dict[str, tuple[str, str]]:
    """Return the secret and the account of each section."""
    return {
        "whatsapp": (settings.whatsapp.token.get_secret_value(), settings.whatsapp.phone_number_id),
        "twilio": (settings.twilio.auth_token.get_secret_value(), settings.twilio.account_sid),
    }


def _is_configured(settings: Settings) -> bool:
    return any(secret and account for secret, account in _credentials(settings).values())


def _check_settings(settings: Settings) -> Iterator[SettingsProblem]:
    for section, (secret, account) in _credentials(settings).items():
        if bool(secret) != bool(account):
            yield SettingsProblem(
                f"[{section}] is incomplete: its secret or its account is missing.",
                "Every send through it fails.",
                "msgctl config show",
            )


def _find_agent(settings: Settings, metadata: Mapping[str, Any]) -> str:
    """Return the agent that answers at the number which sends; a number of unusual type leads nowhere."""
    provider = metadata.get("provider", settings.whatsapp.provider)
    if provider == "twilio":
        return twilio_webhook.agent_id(settings, str(metadata.get("from", settings.twilio.sender)))
    return cloud_messages.agent_id(settings, str(metadata.get("from", settings.whatsapp.phone_number_id)))


CHANNEL = ChannelSpec(
    name="whatsapp",
    is_configured=_is_configured,
    create_sender=_create_sender,
    webhooks=(
        Webhook("/webhooks/whatsapp", cloud_webhook.answer_challenge, ("GET",)),
        Webhook("/webhooks/whatsapp", cloud_webhook.receive),
        Webhook(STATUS_PATH, twilio_webhook.receive),
    ),
    address_field="to",
    alternative_address_fields=("recipient",),
    example_address="+NUMBER, with its country code",
    error_codes={"whatsapp": errors.CLOUD_CODES, "twilio": errors.TWILIO_CODES},
    error_advice={
        "window_closed": "Outside the 24 h window; use a template; it will not be retried.",
        "whatsapp_no_id": "Meta answered without the id of a message; it may have arrived.",
        "twilio_no_id": "Twilio answered without the id of a message; it may have arrived.",
    },
    rate_buckets=rate_buckets,
    check_settings=_check_settings,
    find_agent=_find_agent,
    reply_window=ReplyWindow(24 * 3600.0, "WhatsApp's window of 24 h after the customer's message is closed."),
)
