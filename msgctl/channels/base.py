"""What a handler of a channel is."""

from collections.abc import Sequence
from typing import ClassVar, Protocol

from msgctl.channels.send_limits import SendLimits
from msgctl.messages import Response


class ChannelSender(Protocol):
    """Delivers responses to one channel; one file each."""

    idempotent: ClassVar[bool]
    """Whether the receiver knows a second send for one, so that doubt may be resolved by sending again."""

    @property
    def schedule(self) -> Sequence[float] | None:
        """Seconds before each try, the first one included; None: `delivery.attempts` and `retry.*`."""
        ...

    def send_limits(self, response: Response) -> SendLimits:
        """What stands before a send of this response.

        Raises:
            DeliveryFailed: it has no address.
        """
        ...

    def unknown_policy(self, response: Response) -> str:
        """What becomes of a send of doubtful fate: `resend`, `hold`, `reconcile` or `keep`."""
        ...

    async def find_sent(self, response: Response, text: str, since: float) -> str | None:
        """Ask the provider whether a part arrived; its id, or None where the provider knows that it did not.

        Args:
            response: whose part it is.
            text: the part.
            since: the Unix second in which it was sent.

        Raises:
            DeliveryFailed: the provider does not tell.
        """
        ...

    def parts(self, response: Response) -> list[str]:
        """The text in as many parts as the provider's limit asks for.

        Raises:
            DeliveryFailed: there is nothing to send.
        """
        ...

    async def send(self, response: Response, text: str, *, first: bool) -> str:
        """Send one part and return the provider's id of it, empty if it has none.

        Args:
            response: whose `channelMetadata` says where to.
            text: the part.
            first: whether it is the first one.

        Raises:
            DeliveryFailed: it did not arrive, or nobody knows (`DeliveryUnknown`).
        """
        ...
