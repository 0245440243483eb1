"""What n8n is sent: who wrote, what is quoted, and the names that its own chat uses.

The first table has a row for each form in which a provider says who wrote. The last column is what stands under
`customer` and `quoted` in the payload, and a field that is not there must be absent.
"""

import json
from typing import Any

import msgspec
import pytest

from msgctl.agents.agents import Agent
from msgctl.channels.inbound import InboundText, derive_id
from msgctl.channels.telegram.webhook import parse as parse_telegram
from msgctl.channels.whatsapp.cloud_webhook import parse as parse_cloud
from msgctl.channels.whatsapp.twilio_webhook import parse as parse_twilio
from msgctl.config.settings import Settings
from msgctl.domain.messages import Message
from msgctl.processing.payload import prepare_payload

AGENT_ID = "0b9e7c2e-6a51-4f0e-9b51-8f4f0f6f7a10"
AGENT = Agent(id=AGENT_ID, user_id="ana", name="Ana", webhook_path="support")
MESSAGE = Message(
    message_id="m-1",
    conversation_id="c-1",
    agent_id=AGENT_ID,
    user_id="ana",
    message="Olá",
    timestamp="2026-01-01T00:00:00.000Z",
)
SETTINGS = Settings.model_validate(
    {
        "telegram": {"token": "77:x", "webhook_secret": "s", "agent": AGENT_ID},
        "whatsapp": {"phone_number_id": "1065", "app_secret": "s", "agent": AGENT_ID},
        "twilio": {"account_sid": "AC1", "auth_token": "t", "sender": "+14155238886", "agent": AGENT_ID},
    }
)
FIELDS_OF_THE_FIRST_CONTRACT = {
    "messageId",
    "conversationId",
    "userId",
    "agent",
    "message",
    "history",
    "channel",
    "channelMetadata",
    "timestamp",
}
FIELDS_ALWAYS_ADDED = {"sessionId", "chatInput", "action", "messages", "attempt"}
ANA = {"id": 42, "is_bot": False, "first_name": "Ana", "language_code": "pt-br"}


def from_telegram(**message: Any) -> InboundText | None:
    """The text of a Telegram update."""
    message = {"message_id": 5, "chat": {"id": 42, "type": "private"}, "date": 1, "text": "Olá", **message}
    found = parse_telegram(SETTINGS, {"update_id": 1, "message": message}, "77")
    return found if isinstance(found, InboundText) else None


def from_cloud(contacts: Any, **message: Any) -> InboundText | None:
    """The text of a webhook of Meta's Cloud API."""
    message = {"id": "wamid.1", "from": "5511999990000", "type": "text", "text": {"body": "Olá"}, **message}
    value = {"metadata": {"phone_number_id": "1065"}, "contacts": contacts, "messages": [message]}
    found = list(parse_cloud(SETTINGS, {"entry": [{"changes": [{"field": "messages", "value": value}]}]}))
    return found[0] if found and isinstance(found[0], InboundText) else None


def from_twilio(**form: str) -> InboundText | None:
    """The text of a webhook of Twilio's."""
    whole = {
        "MessageSid": "SM1",
        "AccountSid": "AC1",
        "From": "whatsapp:+5511999990000",
        "To": "whatsapp:+14155238886",
        "Body": "Olá",
        **form,
    }
    found = parse_twilio(SETTINGS, whole, "")
    return found if isinstance(found, InboundText) else None


def payload_of(inbound: InboundText) -> dict[str, Any]:
    """The payload that n8n gets for an inbound text, as stored in between and read again."""
    stored = msgspec.structs.replace(MESSAGE, customer=inbound.customer, quoted=inbound.quoted).to_json()
    read = msgspec.json.decode(stored, type=Message)
    payload: dict[str, Any] = json.loads(prepare_payload(AGENT, read, []))
    return payload


WRITERS: list[tuple[str, InboundText | None, dict[str, Any]]] = [
    (
        "Telegram: a user with every field",
        from_telegram(**{"from": {**ANA, "last_name": "Souza", "username": "anas"}}),
        {"customer": {"id": "42", "name": "Ana Souza", "username": "anas", "language": "pt-br"}},
    ),
    (
        "Telegram: a first name alone",
        from_telegram(**{"from": ANA}),
        {"customer": {"id": "42", "name": "Ana", "language": "pt-br"}},
    ),
    ("Telegram: an update of old, without from", from_telegram(), {}),
    ("Telegram: from is no object", from_telegram(**{"from": "Ana"}), {}),
    (
        "Telegram: a name with line breaks and control signs",
        from_telegram(**{"from": {"id": 42, "first_name": "A\nna\x1b[31m\0"}}),
        {"customer": {"id": "42", "name": "A na[31m"}},
    ),
    (
        "Telegram: an anonymous administrator writes as the group",
        from_telegram(
            **{"from": {"id": 1087968824, "first_name": "Group"}, "sender_chat": {"id": -1001, "title": "Loja"}}
        ),
        {"customer": {"id": "-1001", "name": "Loja"}},
    ),
    (
        "Telegram: a reply",
        from_telegram(**{"from": ANA, "reply_to_message": {"message_id": 4, "text": "Qual o prazo?"}}),
        {"customer": {"id": "42", "name": "Ana", "language": "pt-br"}, "quoted": {"text": "Qual o prazo?"}},
    ),
    (
        "Telegram: a reply to a marked passage",
        from_telegram(
            reply_to_message={"message_id": 4, "text": "Qual o prazo?"}, quote={"text": "prazo", "position": 7}
        ),
        {"quoted": {"text": "prazo"}},
    ),
    (
        "Telegram: a reply to a captioned photo",
        from_telegram(reply_to_message={"caption": "Nota"}),
        {"quoted": {"text": "Nota"}},
    ),
    (
        "Telegram: the root of a topic is no quotation",
        from_telegram(reply_to_message={"message_id": 1, "forum_topic_created": {"name": "x"}}),
        {},
    ),
    (
        "Cloud API: a name",
        from_cloud([{"wa_id": "5511999990000", "profile": {"name": "Ana 🌻"}}]),
        {"customer": {"id": "+5511999990000", "name": "Ana 🌻"}},
    ),
    (
        "Cloud API: a username",
        from_cloud([{"wa_id": "5511999990000", "profile": {"name": "Ana", "username": "ana.s"}}]),
        {"customer": {"id": "+5511999990000", "name": "Ana", "username": "ana.s"}},
    ),
    ("Cloud API: no contacts", from_cloud(None), {"customer": {"id": "+5511999990000"}}),
    (
        "Cloud API: the contact lacks the ninth digit that the message has",
        from_cloud([{"wa_id": "551199990000", "profile": {"name": "Ana"}}]),
        {"customer": {"id": "+5511999990000", "name": "Ana"}},
    ),
    (
        "Cloud API: two contacts, the second wrote",
        from_cloud(
            [{"wa_id": "1", "profile": {"name": "Eva"}}, {"wa_id": "5511999990000", "profile": {"name": "Ana"}}]
        ),
        {"customer": {"id": "+5511999990000", "name": "Ana"}},
    ),
    (
        "Cloud API: two contacts, neither wrote",
        from_cloud([{"wa_id": "1", "profile": {"name": "Eva"}}, {"wa_id": "2", "profile": {"name": "Bia"}}]),
        {"customer": {"id": "+5511999990000"}},
    ),
    (
        "Cloud API: a profile of a wrong type",
        from_cloud([{"wa_id": "5511999990000", "profile": 7}]),
        {"customer": {"id": "+5511999990000"}},
    ),
    (
        "Cloud API: a reply to a message of the customer",
        from_cloud(None, context={"from": "5511999990000", "id": "wamid.0"}),
        {"customer": {"id": "+5511999990000"}, "quoted": {"messageId": derive_id("wa", "wamid.0")}},
    ),
    (
        "Cloud API: a reply to a message of the business, whose id is unknown here",
        from_cloud(None, context={"from": "15550100200", "id": "wamid.B"}),
        {"customer": {"id": "+5511999990000"}},
    ),
    (
        "Cloud API: forwarded",
        from_cloud(None, context={"forwarded": True}),
        {"customer": {"id": "+5511999990000"}},
    ),
    ("Twilio: a name", from_twilio(ProfileName="Ana"), {"customer": {"id": "+5511999990000", "name": "Ana"}}),
    ("Twilio: no name", from_twilio(), {"customer": {"id": "+5511999990000"}}),
    (
        "Twilio: a reply to a message of the customer",
        from_twilio(OriginalRepliedMessageSid="SM0", OriginalRepliedMessageSender="whatsapp:+5511999990000"),
        {"customer": {"id": "+5511999990000"}, "quoted": {"messageId": derive_id("tw", "SM0")}},
    ),
    (
        "Twilio: a reply to a message of the business",
        from_twilio(OriginalRepliedMessageSid="SM9", OriginalRepliedMessageSender="whatsapp:+14155238886"),
        {"customer": {"id": "+5511999990000"}},
    ),
]


@pytest.mark.parametrize(("inbound", "expected"), [row[1:] for row in WRITERS], ids=[row[0] for row in WRITERS])
def test_payload_says_who_wrote_and_what_is_quoted(inbound: InboundText | None, expected: dict[str, Any]) -> None:
    """The values of the provider reach n8n through the stored message, and nothing else is added."""
    assert inbound is not None
    payload = payload_of(inbound)
    told = {name: payload[name] for name in ("customer", "quoted") if name in payload}
    assert told == expected
    assert payload.keys() - told.keys() == FIELDS_OF_THE_FIRST_CONTRACT | FIELDS_ALWAYS_ADDED
    assert None not in payload.values()


def test_channel_that_tells_nothing_adds_no_field() -> None:
    """A message of the API has no customer and no quotation, in Redis and in the payload."""
    payload = json.loads(prepare_payload(AGENT, MESSAGE, []))
    assert payload.keys() == FIELDS_OF_THE_FIRST_CONTRACT | FIELDS_ALWAYS_ADDED
    assert not {"customer", "quoted"} & json.loads(MESSAGE.to_json()).keys()


def test_chat_trigger_finds_its_names() -> None:
    """`sessionId`, `chatInput`, and `action` are what n8n's Chat Trigger and memory nodes read."""
    payload = json.loads(prepare_payload(AGENT, MESSAGE, [], attempt=3))
    assert payload["sessionId"] == payload["conversationId"] == "c-1"
    assert payload["chatInput"] == payload["message"] == "Olá"
    assert (payload["action"], payload["attempt"]) == ("sendMessage", 3)
    assert payload["messages"] == [{"messageId": "m-1", "text": "Olá", "timestamp": "2026-01-01T00:00:00.000Z"}]


@pytest.mark.parametrize(("inbound"), [row[1] for row in WRITERS], ids=[row[0] for row in WRITERS])
def test_customer_and_quotation_are_not_digested(inbound: InboundText | None) -> None:
    """A webhook that an earlier version accepted without them is a repetition, and no conflict, for this one."""
    assert inbound is not None
    told = msgspec.structs.replace(MESSAGE, customer=inbound.customer, quoted=inbound.quoted)
    assert told.digest() == MESSAGE.digest()
