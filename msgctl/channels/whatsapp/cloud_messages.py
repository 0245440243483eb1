"""One message of Meta's webhook, as an item for the gateway."""

from typing import Any

import msgspec

from msgctl.channels.inbound import (
    Inbound,
    InboundEvent,
    InboundMove,
    InboundOther,
    InboundRefused,
    InboundText,
    derive_id,
    for_nobody,
    kind_of,
)
from msgctl.channels.whatsapp.cloud_content import CONTENT_KINDS, text_of
from msgctl.channels.whatsapp.customer import read_cloud_customer, read_cloud_quoted
from msgctl.channels.whatsapp.customer_address import (
    CustomerAddress,
    parse_phone,
    parse_user_id,
    read_cloud_sender,
)
from msgctl.config.settings import Settings
from msgctl.domain.messages import Channel

MOVES = frozenset({"customer_changed_number", "user_changed_number", "user_changed_user_id"})
"""The notices of Meta that a customer has a new number or user id."""
MAX_TIMESTAMP_DIGITS = 12
NO_AGENT = "No agent answers this number: set [whatsapp] agent, or add it to [inbound] routes."
NO_ID = InboundRefused(Channel.WHATSAPP, "no_id", "A message has no id, so a repetition could not be recognized.")
NO_SENDER = InboundRefused(
    Channel.WHATSAPP, "no_sender", "A message names no sender, so nobody could be answered."
)


class CloudChat(msgspec.Struct, frozen=True):
    """Where a message was written, and where its reply goes."""

    conversation_id: str
    metadata: dict[str, Any]
    aliases: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    """The addresses whose 24 h window a message opens; none for a group."""


def parse_message(settings: Settings, number: str, message: dict[str, Any], value: dict[str, Any]) -> Inbound:
    """Return the item of one message.

    Args:
        settings: `whatsapp.*`, `inbound.*`.
        number: the phone number id that it was sent to.
        message: one of the `messages`.
        value: the value that holds it, whose `contacts` describe its sender.
    """
    agent, sender = agent_id(settings, number), read_cloud_sender(message, value.get("contacts"))
    if (refusal := _refusal(agent, message, sender)) is not None:
        return refusal
    if sender is None or message.get("type") == "system":
        return _parse_notice(number, message, sender)
    chat = _chat(settings, number, message, sender)
    if chat is None or sender.phone == _business_number(value) != "":
        return InboundEvent(Channel.WHATSAPP, "echo" if chat else "group")
    message_id = derive_id("wa", message["id"])
    phone, *other_addresses = chat.addresses or ("",)
    text = text_of(message, edits=settings.inbound.edits)
    if not text:
        kind = kind_of(message.get("type"))
        is_answered = kind in CONTENT_KINDS and bool(chat.addresses)  # in a group it was not for the agent
        return InboundOther(
            message_id,
            Channel.WHATSAPP,
            kind,
            chat.conversation_id if is_answered else "",
            chat.metadata,
            phone,
            _said_at(message),
            aliases=chat.aliases,
            other_addresses=tuple(other_addresses),
        )
    return InboundText(
        message_id,
        chat.conversation_id,
        Channel.WHATSAPP,
        text,
        chat.metadata,
        agent,
        phone,
        _said_at(message),
        customer=read_cloud_customer(value.get("contacts"), message, sender.phone or sender.user_id),
        quoted=read_cloud_quoted(message),
        aliases=chat.aliases,
        other_addresses=tuple(other_addresses),
    )


def _refusal(agent: str, message: dict[str, Any], sender: CustomerAddress | None) -> InboundRefused | None:
    wamid = message.get("id")
    if not agent:
        return for_nobody(Channel.WHATSAPP, NO_AGENT)
    if not isinstance(wamid, str) or not wamid:
        return NO_ID
    return NO_SENDER if sender is None and message.get("type") != "system" else None


def agent_id(settings: Settings, number: str) -> str:
    """Return the id of the agent that answers for a configured number, or an empty text."""
    return settings.inbound.find_agent(
        "whatsapp", number, (settings.whatsapp.phone_number_id, settings.whatsapp.agent)
    )


def _chat(settings: Settings, number: str, message: dict[str, Any], sender: CustomerAddress) -> CloudChat | None:
    """Return the chat of a message; None for a group if groups are not answered."""
    metadata = {"provider": "cloud"}
    if number != settings.whatsapp.phone_number_id:
        metadata["from"] = number
    group = message.get("group_id")
    if group is None:
        conversation_id, *aliases = (derive_id("wa", number, address) for address in sender.all)
        return CloudChat(conversation_id, sender.metadata() | metadata, tuple(aliases), sender.all)
    if settings.inbound.groups and isinstance(group, str) and group:
        return CloudChat(derive_id("wa", number, "group", group), {"group": group} | metadata)
    return None


def _parse_notice(number: str, message: dict[str, Any], sender: CustomerAddress | None) -> Inbound:
    """Return the move of a customer who changed the number or the user id, or an event for any other notice."""
    system = message.get("system")
    system = system if isinstance(system, dict) else {}
    old = [*(sender.all if sender else ()), parse_user_id(system.get("previous_user_id"))]
    new = [parse_phone(system.get(name)) for name in ("wa_id", "new_wa_id")] + [
        parse_user_id(system.get("user_id"))
    ]
    addresses = list(dict.fromkeys(filter(None, (*old, *new))))
    if system.get("type") not in MOVES or len(addresses) < 2:
        return InboundEvent(Channel.WHATSAPP, "system")
    return InboundMove(
        Channel.WHATSAPP, "system", tuple(derive_id("wa", number, address) for address in addresses)
    )


def _business_number(value: dict[str, Any]) -> str:
    """Return the number of the business in E.164, or an empty text."""
    metadata = value.get("metadata")
    shown = metadata.get("display_phone_number") if isinstance(metadata, dict) else None
    return parse_phone("".join(sign for sign in str(shown) if sign.isdecimal()))


def _said_at(message: dict[str, Any]) -> float:
    """Return the Unix second of a message; 0 if it names none."""
    seconds = str(message.get("timestamp", ""))
    is_number = seconds.isascii() and seconds.isdigit() and len(seconds) <= MAX_TIMESTAMP_DIGITS
    return float(seconds) if is_number else 0.0
