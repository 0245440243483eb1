"""The addresses of a WhatsApp customer: a phone number, its other spellings, and a business-scoped user id.

Since 2026 a customer may hide the number from a business. Meta then names the customer by a user id alone; see
https://developers.facebook.com/documentation/business-messaging/whatsapp/business-scoped-user-ids.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

USER_ID = re.compile(r"[A-Z]{2}\.(?:ENT\.)?[A-Za-z0-9]{1,128}")
"""A business-scoped user id: a country, a period, and up to 128 letters and digits."""
PHONE_NUMBER = re.compile(r"\+?([1-9][0-9]{6,14})")
SPELLINGS = (
    (re.compile(r"\+55([1-9]{2})9([6-9][0-9]{7})"), r"+55\1\2"),
    (re.compile(r"\+55([1-9]{2})([6-9][0-9]{7})"), r"+55\g<1>9\2"),
    (re.compile(r"\+521([0-9]{10})"), r"+52\1"),
    (re.compile(r"\+52([0-9]{10})"), r"+521\1"),
    (re.compile(r"\+549([0-9]{10})"), r"+54\1"),
    (re.compile(r"\+54([0-9]{10})"), r"+549\1"),
)
"""Numbers that WhatsApp knows with and without a digit: mobiles of Brazil (the ninth), Mexico, and Argentina."""


class CustomerAddress(msgspec.Struct, frozen=True):
    """Who a message is from. At least one of the two is known."""

    phone: str = ""
    """The number in E.164, spelled as the provider spells it."""
    user_id: str = ""
    """The business-scoped user id."""

    @property
    def all(self) -> tuple[str, ...]:
        """Every address of the customer, the preferred one first."""
        spellings = other_spellings(self.phone)
        return tuple(address for address in (self.phone, self.user_id, *spellings) if address)

    def metadata(self) -> dict[str, str]:
        """Return the address fields of `channelMetadata`."""
        fields = {"to": self.phone, "recipient": self.user_id}
        return {name: value for name, value in fields.items() if value}


def other_spellings(phone: str) -> tuple[str, ...]:
    """Return the other numbers in E.164 under which WhatsApp knows the same customer."""
    return tuple(
        match.expand(replacement) for pattern, replacement in SPELLINGS if (match := pattern.fullmatch(phone))
    )


def parse_phone(value: object) -> str:
    """Return a number in E.164 with its plus sign, or an empty text."""
    match = PHONE_NUMBER.fullmatch(value) if isinstance(value, str) else None
    return f"+{match[1]}" if match else ""


def parse_user_id(value: object) -> str:
    """Return a business-scoped user id, or an empty text."""
    return value if isinstance(value, str) and USER_ID.fullmatch(value) else ""


def read_cloud_sender(message: Mapping[str, Any], contacts: object) -> CustomerAddress | None:
    """Return the sender of one item of `messages`, or None if it names nobody.

    Args:
        message: the item.
        contacts: the `contacts` of the same value, which may tell the other address of the sender.
    """
    phone = parse_phone(message.get("from"))
    ids = (message.get("from_user_id"), message.get("from"), message.get("from_parent_user_id"))
    user_id = next(filter(None, map(parse_user_id, ids)), "")
    for contact in contacts if isinstance(contacts, list) else ():
        if not isinstance(contact, dict):
            continue
        listed_phone, listed_id = parse_phone(contact.get("wa_id")), parse_user_id(contact.get("user_id"))
        if (listed_phone and listed_phone == phone) or (listed_id and listed_id == user_id):
            phone, user_id = phone or listed_phone, user_id or listed_id
    return CustomerAddress(phone, user_id) if phone or user_id else None


def read_twilio_sender(form: Mapping[str, str]) -> CustomerAddress | None:
    """Return the sender of a form, or None if it is no WhatsApp address."""
    sender = form.get("From", "")
    address = sender.removeprefix("whatsapp:")
    phone = parse_phone(address) if address != sender else ""
    ids = (form.get("ExternalUserId", "").removeprefix("whatsapp:"), address, form.get("ParentExternalUserId"))
    user_id = next(filter(None, map(parse_user_id, ids)), "")
    return CustomerAddress(phone, user_id) if phone or user_id else None
