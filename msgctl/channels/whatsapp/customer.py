"""Who wrote a message of WhatsApp, and what it quotes, as the Cloud API and as Twilio say it.

https://developers.facebook.com/docs/whatsapp/cloud-api/webhooks/reference/messages and
https://www.twilio.com/docs/messaging/guides/webhook-request.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import UnsetType

from msgctl.channels.inbound import derive_id, describe_customer, describe_quoted
from msgctl.domain.messages import Customer, Quoted

TWILIO_ADDRESS = "whatsapp:"


def read_cloud_customer(contacts: object, message: Mapping[str, Any], customer_id: str) -> Customer | UnsetType:
    """Return the sender of a message of the Cloud API.

    Args:
        contacts: `contacts` of the same change.
        message: one of its `messages`.
        customer_id: the number in E.164, or the business-scoped user id of a customer without a number.
    """
    records = [record for record in contacts if isinstance(record, dict)] if isinstance(contacts, list) else []
    keys = {key for key in (message.get("from"), message.get("from_user_id")) if isinstance(key, str)}
    matching = [record for record in records if keys & {str(record.get("wa_id")), str(record.get("user_id"))}]
    # The number of a contact may differ from that of the message, e.g. by Brazil's ninth digit.
    contact = matching[0] if matching else records[0] if len(records) == 1 else {}
    profile = contact.get("profile")
    profile = profile if isinstance(profile, dict) else {}
    return describe_customer(customer_id, profile.get("name"), username=profile.get("username"))


def read_cloud_quoted(message: Mapping[str, Any]) -> Quoted | UnsetType:
    """Return the message of the same customer that a message of the Cloud API answers.

    The context holds an id and no text. The id of a reply of the business is Meta's, and is not known here.
    """
    context = message.get("context")
    context = context if isinstance(context, dict) else {}
    wamid, author = context.get("id"), context.get("from")
    writers = (message.get("from"), message.get("from_user_id"))
    is_own = isinstance(author, str) and author.lstrip("+") in [str(writer).lstrip("+") for writer in writers]
    return describe_quoted(message_id=derive_id("wa", wamid) if is_own and isinstance(wamid, str) else "")


def read_twilio_customer(form: Mapping[str, str], customer_id: str) -> Customer | UnsetType:
    """Return the sender of a message of Twilio."""
    return describe_customer(customer_id, form.get("ProfileName"))


def read_twilio_quoted(form: Mapping[str, str]) -> Quoted | UnsetType:
    """Return the message of the same customer that a message of Twilio answers."""
    sid, author = form.get("OriginalRepliedMessageSid"), form.get("OriginalRepliedMessageSender", "")
    sender = form.get("From", "").removeprefix(TWILIO_ADDRESS)
    is_own = bool(sid) and author.removeprefix(TWILIO_ADDRESS) == sender
    return describe_quoted(message_id=derive_id("tw", sid) if is_own else "")
