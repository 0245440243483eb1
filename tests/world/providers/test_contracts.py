"""The requests to Meta and Twilio, against the facts of their published OpenAPI documents.

The schemas are our own summary of two documents. `tests/world/README.md` names them, with the figures.
"""

from typing import Any

import jsonschema_rs
import pytest

from msgctl.channels.whatsapp.sender import WhatsAppSender
from msgctl.config.settings import Settings
from msgctl.domain.messages import Channel
from msgctl.http.client import HttpClient
from tests.support.providers import Providers
from tests.support.replies import response

META_TEXT = {
    "type": "object",
    "additionalProperties": False,
    "required": ["messaging_product", "recipient_type", "to", "type", "text"],
    "properties": {
        "messaging_product": {"const": "whatsapp"},
        "recipient_type": {"enum": ["individual", "group"]},
        "to": {"type": "string"},
        "type": {"const": "text"},
        "text": {
            "type": "object",
            "additionalProperties": False,
            "required": ["body"],
            "properties": {"body": {"type": "string", "maxLength": 4096}, "preview_url": {"type": "boolean"}},
        },
        "context": {"type": "object"},
        "biz_opaque_callback_data": {"type": "string", "maxLength": 512},
    },
}
"""A text message of the Cloud API."""

TWILIO_FORM = {
    "type": "object",
    "additionalProperties": False,
    "required": ["To", "From", "Body"],
    "properties": {
        "To": {"type": "string"},
        "From": {"type": "string"},
        "Body": {"type": "string", "maxLength": 1600},
        "StatusCallback": {"type": "string", "pattern": "^https?://"},
    },
}
"""The part that is used of the form of `CreateMessage`."""

LIST_PARAMETERS = {"To", "From", "DateSent", "DateSent<", "DateSent>", "PageSize", "Page", "PageToken"}
"""The query parameters of `ListMessage`."""


@pytest.mark.parametrize("provider", ["cloud", "twilio"])
async def test_requests_are_those_of_the_published_interface(
    settings: Settings, providers: Providers, provider: str
) -> None:
    """Each part of a long reply is a request that the provider's own document permits."""
    schema: Any = META_TEXT if provider == "cloud" else TWILIO_FORM
    validator = jsonschema_rs.validator_for(schema)
    twilio = settings.twilio.model_copy(update={"public_url": "https://chat.example.com"})
    reply = response(
        Channel.WHATSAPP,
        {"to": "+5511999990000", "provider": provider},
        text="Olá! 👨‍👩‍👧 " * 900,
        message_id="m" * 64,
    )
    async with HttpClient(settings) as client:
        sender = WhatsAppSender(settings.model_copy(update={"twilio": twilio}), client)
        for part in sender.parts(reply):
            await sender.send(reply, part, first=True)
    assert len(providers.requests) > 1
    for request in providers.requests:
        validator.validate(request.json if provider == "cloud" else request.form)


async def test_list_of_messages_is_asked_by_published_parameters(settings: Settings, providers: Providers) -> None:
    """Twilio's list is asked by customer and sender, and not by a date that a queued message does not have."""
    reply = response(Channel.WHATSAPP, {"to": "+5511999990000", "provider": "twilio"})
    async with HttpClient(settings) as client:
        sender = WhatsAppSender(settings, client)
        [part] = sender.parts(reply)
        assert await sender.find_sent(reply, part, 0.0) is None
        sid = await sender.send(reply, part, first=True)
        assert await sender.find_sent(reply, part, 0.0) == sid
    assert providers.list_queries
    for query in providers.list_queries:
        assert set(query) <= LIST_PARAMETERS
        assert {"To", "From"} <= set(query)
        assert not any(name.startswith("DateSent") for name in query)
