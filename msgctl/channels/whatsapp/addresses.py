"""WhatsApp addresses of a response: its receiver, and a text with its sender and receiver."""

import msgspec

from msgctl.channels.whatsapp.customer_address import parse_phone, parse_user_id
from msgctl.domain.errors import BadAddress
from msgctl.domain.messages import Response

STATUS_PATH = "/webhooks/twilio"
"""The path to which Twilio sends messages and statuses."""


class Recipient(msgspec.Struct, frozen=True):
    """The receiver of a response. One of the three is set."""

    phone: str = ""
    """A customer's number in E.164, with its plus sign."""
    user_id: str = ""
    """The business-scoped user id of a customer whose number is hidden."""
    group: str = ""
    """The id of a group."""

    @property
    def address(self) -> str:
        """The one that is set."""
        return self.phone or self.user_id or self.group


class Text(msgspec.Struct, frozen=True):
    """One part of a response with its addresses."""

    message_id: str
    sender: str
    """The number that sends it, as the provider names it."""
    to: Recipient
    body: str


def recipient(response: Response) -> Recipient:
    """Return the receiver that `channelMetadata` names: a group, else a number, else a user id.

    Raises:
        BadAddress: it names none, or in another form.
    """
    metadata = response.channel_metadata
    if (group := metadata.get("group")) is not None:
        if not isinstance(group, str) or not group.strip():
            raise BadAddress("channelMetadata.group must be the id of a WhatsApp group.")
        return Recipient(group=group)
    to = metadata.get("to")
    if phone := parse_phone(to):
        return Recipient(phone)
    user_id = parse_user_id(metadata.get("recipient")) if to is None else parse_user_id(to)
    if not user_id:
        raise BadAddress(
            "channelMetadata.to must be a phone number in E.164, e.g. +5511999990000, or channelMetadata.recipient"
            " the user id of a customer without a number, e.g. BR.1502576394655843."
        )
    return Recipient(user_id=user_id)
