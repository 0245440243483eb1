"""What a handler of a channel is."""

from typing import ClassVar, Protocol

from msgctl.messages import Response


class Handler(Protocol):
    """Delivers responses to one channel; one file each."""

    repeatable: ClassVar[bool]
    """Whether the receiver knows a second send for one, so that doubt may be resolved by sending again."""

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
