"""WhatsApp, by whichever provider the message or the settings name; what both have in common stands here."""

from typing import ClassVar, Protocol

from msgctl.channels.send_limits import Bucket, SendLimits, digest
from msgctl.channels.text_splitter import split
from msgctl.channels.whatsapp.addresses import Text, phone_number
from msgctl.channels.whatsapp.cloud import WhatsAppCloud
from msgctl.channels.whatsapp.rate_limits import number_rate
from msgctl.channels.whatsapp.twilio import WhatsAppTwilio
from msgctl.config.settings import Settings
from msgctl.domain.errors import BadAddress
from msgctl.domain.messages import Response
from msgctl.http.client import HttpClient

PAIR_INTERVAL, PAIR_BURST = 6000, 45
"""Milliseconds a message to the same customer costs a number, and how many may come at once."""


class Provider(Protocol):
    """One of the two ways to WhatsApp; one file each."""

    limit: ClassVar[int]
    """Characters of a text."""
    senders: tuple[str, ...]
    """The numbers that may send, the default one first; that one is empty where none is set."""
    rate: float
    """Messages a second of one number."""
    unknown: str
    """What becomes of a send of doubtful fate."""

    async def send(self, text: Text) -> str:
        """Send a text; the provider's id of it.

        Raises:
            DeliveryFailed: as `ChannelSender.send` says.
        """
        ...

    async def find_sent(self, text: Text, since: float) -> str | None:
        """As `ChannelSender.find_sent`.

        Raises:
            DeliveryFailed: the provider does not tell.
        """
        ...


class WhatsAppSender:
    """Chooses between the Cloud API and Twilio, and keeps the limits that WhatsApp sets for both.

    Args:
        settings: `whatsapp.*`, `twilio.*` and `inbound.routes`.
        client: makes the calls.
    """

    idempotent: ClassVar[bool] = False
    schedule = None

    def __init__(self, settings: Settings, client: HttpClient) -> None:
        self._default = settings.whatsapp.provider
        self._providers: dict[str, Provider] = {
            "cloud": WhatsAppCloud(settings, client),
            "twilio": WhatsAppTwilio(settings, client),
        }

    def send_limits(self, response: Response) -> SendLimits:
        """The rate of the number, that of the number to this customer, and the 24 h window."""
        name, provider = self._provider(response)
        text = _addressed(provider, response, "")
        pair = digest(f"{text.sender} {text.to}")
        return SendLimits(
            (
                number_rate(name, text.sender, provider.rate),
                Bucket("pair", f"whatsapp:pair:{pair}", PAIR_INTERVAL, PAIR_BURST),
            ),
            window=digest(text.to),
        )

    def unknown_policy(self, response: Response) -> str:
        """What the provider's settings say."""
        return self._provider(response)[1].unknown

    async def find_sent(self, response: Response, text: str, since: float) -> str | None:
        """Ask the provider."""
        _, provider = self._provider(response)
        return await provider.find_sent(_addressed(provider, response, text), since)

    def parts(self, response: Response) -> list[str]:
        """The text in parts as the provider takes them.

        Raises:
            BadAddress: `channelMetadata.provider` names none.
        """
        return split(response.response.message, self._provider(response)[1].limit)

    async def send(self, response: Response, text: str, *, first: bool) -> str:  # noqa: ARG002 - all parts are alike
        """Send one part by the provider.

        Raises:
            DeliveryFailed: as `ChannelSender.send` says.
        """
        _, provider = self._provider(response)
        return await provider.send(_addressed(provider, response, text))

    def _provider(self, response: Response) -> tuple[str, Provider]:
        name = response.channel_metadata.get("provider", self._default)
        provider = self._providers.get(name) if isinstance(name, str) else None
        if provider is None:
            raise BadAddress("channelMetadata.provider must be cloud or twilio.")
        return str(name), provider


def _addressed(provider: Provider, response: Response, body: str) -> Text:
    sender = response.channel_metadata.get("from", provider.senders[0])
    if sender not in provider.senders:
        raise BadAddress("channelMetadata.from must be the sender, or a number of [inbound] routes.")
    return Text(response.message_id, str(sender), phone_number(response), body)
