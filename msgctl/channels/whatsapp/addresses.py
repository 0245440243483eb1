"""Who talks to whom on WhatsApp: the customer's phone number, and a text with both ends."""

import re

import msgspec

from msgctl.domain.errors import BadAddress
from msgctl.domain.messages import Response

E164 = re.compile(r"\+?([1-9][0-9]{6,14})\Z")
STATUS_PATH = "/webhooks/twilio"
"""Where Twilio reports the status of a message."""


class Text(msgspec.Struct, frozen=True):
    """One part of a response, addressed."""

    message_id: str
    sender: str
    """The number it is sent from, as the provider names it."""
    to: str
    """The customer in E.164."""
    body: str


def phone_number(response: Response) -> str:
    """`channelMetadata.to` in E.164, with its plus sign.

    Raises:
        BadAddress: it is missing or no phone number.
    """
    to = response.channel_metadata.get("to")
    found = E164.match(to) if isinstance(to, str) else None
    if found is None:
        raise BadAddress("channelMetadata.to must be a phone number in E.164, e.g. +5511999990000.")
    return f"+{found[1]}"
