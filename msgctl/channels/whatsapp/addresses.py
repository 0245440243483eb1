"""WhatsApp addresses: the customer's phone number, and a text with its sender and receiver."""

import re

import msgspec

from msgctl.domain.errors import BadAddress
from msgctl.domain.messages import Response

E164 = re.compile(r"\+?([1-9][0-9]{6,14})\Z")
STATUS_PATH = "/webhooks/twilio"
"""The path to which Twilio sends messages and statuses."""


class Text(msgspec.Struct, frozen=True):
    """One part of a response with its addresses."""

    message_id: str
    sender: str
    """The number that sends it, as the provider names it."""
    to: str
    """The customer's number in E.164."""
    body: str


def phone_number(response: Response) -> str:
    """Return `channelMetadata.to` in E.164, with its plus sign.

    Raises:
        BadAddress: it is missing or not a phone number.
    """
    to = response.channel_metadata.get("to")
    match = E164.match(to) if isinstance(to, str) else None
    if match is None:
        raise BadAddress("channelMetadata.to must be a phone number in E.164, e.g. +5511999990000.")
    return f"+{match[1]}"
