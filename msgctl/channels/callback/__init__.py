"""Channel `api`: a signed HTTP callback."""

from typing import TYPE_CHECKING

from msgctl.channels.base import ChannelSpec
from msgctl.channels.callback import errors
from msgctl.config.settings import Settings

if TYPE_CHECKING:
    from msgctl.channels.callback.sender import CallbackSender
    from msgctl.http.client import HttpClient


def _create_sender(settings: Settings, client: "HttpClient", guarded_client: "HttpClient") -> "CallbackSender":
    from msgctl.channels.callback.sender import CallbackSender  # noqa: PLC0415 - aiohttp takes 0.3 s

    return CallbackSender(settings, client, guarded_client)


CHANNEL = ChannelSpec(
    name="api",
    is_configured=lambda settings: bool(settings.callback.secret.get_secret_value()),
    create_sender=_create_sender,
    address_field="callbackUrl",
    example_address="https://example.org/replies",
    error_codes={"callback": errors.CODES},
    error_advice={"callback_gone": "The URL answered 410 before and is disabled for a while."},
    has_gone_urls=True,
    requires_grant=False,
)
