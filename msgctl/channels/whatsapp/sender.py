"""The sender of WhatsApp: it chooses the provider, and applies the limits that both providers share."""

from typing import ClassVar, Protocol

from msgctl.channels.send_limits import Bucket, SendLimits, digest
from msgctl.channels.text.composer import Dialect
from msgctl.channels.text.reply import compose_reply
from msgctl.channels.text.styled import TextPart
from msgctl.channels.whatsapp.addresses import Text, recipient
from msgctl.channels.whatsapp.cloud import WhatsAppCloud
from msgctl.channels.whatsapp.rate_limits import number_rate
from msgctl.channels.whatsapp.twilio import WhatsAppTwilio
from msgctl.config.settings import Settings
from msgctl.domain.errors import BadAddress
from msgctl.domain.messages import Response
from msgctl.http.client import HttpClient

PAIR_INTERVAL_MS, PAIR_BURST = 6000, 45
"""The rate of one number to one customer: milliseconds that a message costs, and the burst."""


class Provider(Protocol):
    """One of the two APIs of WhatsApp."""

    dialect: ClassVar[Dialect]
    """What it accepts as a text."""
    senders: tuple[str, ...]
    """The numbers that may send, the default one first; that one is empty if none is set."""
    rate: float
    """Messages per second of one number."""
    unknown: str
    """The policy for a send of unknown outcome."""

    async def send(self, text: Text) -> str:
        """Send a text and return the provider's id of it.

        Raises:
            DeliveryFailed: as `ChannelSender.send` says.
        """
        ...

    async def find_sent(self, text: Text, since: float) -> str | None:
        """Do what `ChannelSender.find_sent` says.

        Raises:
            DeliveryFailed: the provider gave no answer.
        """
        ...


class WhatsAppSender:
    """Sends through the Cloud API or Twilio, as the message or the settings say.

    Args:
        settings: `whatsapp.*`, `twilio.*`, `inbound.routes` and `reply.*`.
        client: makes the HTTP requests.
    """

    idempotent: ClassVar[bool] = False
    schedule = None

    def __init__(self, settings: Settings, client: HttpClient) -> None:
        self._default = settings.whatsapp.provider
        self._reply_settings = settings.reply
        self._providers: dict[str, Provider] = {
            "cloud": WhatsAppCloud(settings, client),
            "twilio": WhatsAppTwilio(settings, client),
        }

    def send_limits(self, response: Response) -> SendLimits:
        """Return the rate of the number, its rate to this customer, and the 24 h window."""
        name, provider = self._provider(response)
        text = _address(provider, response, "")
        pair = digest(f"{text.sender} {text.to.address}")
        return SendLimits(
            (
                number_rate(name, text.sender, provider.rate),
                Bucket("pair", f"whatsapp:pair:{pair}", PAIR_INTERVAL_MS, PAIR_BURST),
            ),
            window="" if text.to.group else digest(text.to.address),
        )

    def unknown_policy(self, response: Response) -> str:
        """Return the policy from the provider's settings."""
        return self._provider(response)[1].unknown

    async def find_sent(self, response: Response, part: TextPart, since: float) -> str | None:
        """Ask the provider."""
        _, provider = self._provider(response)
        return await provider.find_sent(_address(provider, response, part.text), since)

    def parts(self, response: Response) -> list[TextPart]:
        """Return the text with WhatsApp's mark-up, in parts by the limit of the provider.

        Raises:
            BadAddress: `channelMetadata.provider` is not a provider.
            ReplyTooLong: as `compose_reply` says.
        """
        return compose_reply(response, self._provider(response)[1].dialect, self._reply_settings)

    async def send(self, response: Response, part: TextPart, *, first: bool) -> str:  # noqa: ARG002 - all parts are alike
        """Send one part through the provider.

        Raises:
            DeliveryFailed: as `ChannelSender.send` says.
        """
        _, provider = self._provider(response)
        return await provider.send(_address(provider, response, part.text))

    def _provider(self, response: Response) -> tuple[str, Provider]:
        name = response.channel_metadata.get("provider", self._default)
        provider = self._providers.get(name) if isinstance(name, str) else None
        if provider is None:
            raise BadAddress("channelMetadata.provider must be cloud or twilio.")
        return str(name), provider


def _address(provider: Provider, response: Response, body: str) -> Text:
    sender = response.channel_metadata.get("from", provider.senders[0])
    if sender not in provider.senders:
        raise BadAddress("channelMetadata.from must be the configured sender or a number of [inbound] routes.")
    return Text(response.message_id, str(sender), recipient(response), body)
