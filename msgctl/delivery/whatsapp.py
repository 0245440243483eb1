"""WhatsApp, by whichever provider the message or the settings name."""

from typing import ClassVar

from msgctl.config import Settings
from msgctl.delivery.gates import Gates
from msgctl.delivery.handler import Handler
from msgctl.delivery.posting import Poster
from msgctl.delivery.whatsapp_cloud import WhatsAppCloud
from msgctl.delivery.whatsapp_twilio import WhatsAppTwilio
from msgctl.errors import BadAddress
from msgctl.messages import Response


class WhatsApp:
    """Chooses between the Cloud API and Twilio.

    Args:
        settings: `whatsapp.*` and `twilio.*`.
        poster: makes the calls.
    """

    repeatable: ClassVar[bool] = False
    schedule = None

    def __init__(self, settings: Settings, poster: Poster) -> None:
        self._default = settings.whatsapp.provider
        self._providers: dict[str, Handler] = {
            "cloud": WhatsAppCloud(settings, poster),
            "twilio": WhatsAppTwilio(settings, poster),
        }

    def gates(self, response: Response) -> Gates:
        """Those of the provider."""
        return self._provider(response).gates(response)

    def unknown(self, response: Response) -> str:
        """What the provider's settings say."""
        return self._provider(response).unknown(response)

    async def find(self, response: Response, text: str, since: float) -> str | None:
        """Ask the provider."""
        return await self._provider(response).find(response, text, since)

    def parts(self, response: Response) -> list[str]:
        """The text in parts as the provider takes them.

        Raises:
            BadAddress: `channelMetadata.provider` names none.
        """
        return self._provider(response).parts(response)

    async def send(self, response: Response, text: str, *, first: bool) -> str:
        """Send one part by the provider.

        Raises:
            DeliveryFailed: as `Handler.send` says.
        """
        return await self._provider(response).send(response, text, first=first)

    def _provider(self, response: Response) -> Handler:
        name = response.channel_metadata.get("provider", self._default)
        provider = self._providers.get(name) if isinstance(name, str) else None
        if provider is None:
            raise BadAddress("channelMetadata.provider must be cloud or twilio.")
        return provider
