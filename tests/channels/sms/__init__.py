"""A channel as a separate distribution would add it: everything about `sms` is in this folder."""

from typing import TYPE_CHECKING, cast

from pydantic import Field, SecretStr

from msgctl.channels.base import ChannelSpec, SettingsProblem
from msgctl.channels.webhook import Webhook
from msgctl.config.base import Section
from msgctl.config.settings import Settings
from tests.channels.sms import errors, webhook

if TYPE_CHECKING:
    from msgctl.http.client import HttpClient
    from tests.channels.sms.sender import SmsSender


class SmsSettings(Section):
    """The table `[channels.sms]`."""

    base_url: str = "https://sms.example.com"
    """The provider's API."""
    token: SecretStr = SecretStr("")
    """The provider's token, which proves webhooks too."""
    agent: str = ""
    """The id of the agent that answers."""
    max_chars: int = Field(160, ge=4, le=1600)
    """Characters of one part."""


def _read_settings(settings: Settings) -> SmsSettings:
    return cast("SmsSettings", settings.channels.get("sms", SmsSettings()))


def _create_sender(settings: Settings, client: "HttpClient", _: "HttpClient") -> "SmsSender":
    from tests.channels.sms.sender import SmsSender  # noqa: PLC0415 - aiohttp takes 0.3 s

    return SmsSender(_read_settings(settings), settings.reply, client)


def _check_settings(settings: Settings) -> tuple[SettingsProblem, ...]:
    if "sms" in settings.channels and not _read_settings(settings).agent:
        problem = SettingsProblem("sms has no agent.", "Its webhook is closed.", "set [channels.sms] agent")
        return (problem,)
    return ()


CHANNEL = ChannelSpec(
    name="sms",
    is_configured=lambda settings: "sms" in settings.channels,
    create_sender=_create_sender,
    settings_model=SmsSettings,
    webhooks=(Webhook("/webhooks/sms", webhook.receive),),
    address_field="number",
    example_address="+15550100",
    error_codes={"sms": errors.CODES},
    error_advice={"sms_no_id": "The provider gave no id."},
    check_settings=_check_settings,
)
