"""WhatsApp through Meta and Twilio: the exact requests, and the meaning of the answers."""

import pytest

from msgctl.channels.send_limits import digest
from msgctl.channels.text.styled import TextPart
from msgctl.channels.whatsapp.sender import WhatsAppSender
from msgctl.config.settings import Settings
from msgctl.domain.errors import BadAddress, DeliveryFailed, DeliveryUnknown, FaultClass
from msgctl.domain.messages import Channel
from msgctl.http.client import HttpClient
from tests.support.providers import Providers
from tests.support.replies import response

TO = {"to": "5511999990000"}
USER_ID = "BR.1393000000000001"
BY_TWILIO = TO | {"provider": "twilio"}


@pytest.fixture
def whatsapp(settings: Settings, poster: HttpClient) -> WhatsAppSender:
    """The sender."""
    return WhatsAppSender(settings, poster)


async def test_the_request_to_meta(whatsapp: WhatsAppSender, providers: Providers) -> None:
    """The Cloud API gets a text message with the message id, which its status webhooks return."""
    assert (
        await whatsapp.send(response(Channel.WHATSAPP, TO, message_id="m-1"), TextPart("Olá"), first=True)
        == "wamid.1"
    )
    [request] = providers.requests
    assert request.path == "/v23.0/1065/messages"
    assert request.headers["Authorization"] == "Bearer meta-token"
    assert request.json == {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": "+5511999990000",
        "type": "text",
        "text": {"body": "Olá"},
        "biz_opaque_callback_data": "m-1",
    }


@pytest.mark.parametrize(
    ("metadata", "fields"),
    [
        ({"recipient": USER_ID}, {"recipient_type": "individual", "recipient": USER_ID}),
        ({"to": USER_ID}, {"recipient_type": "individual", "recipient": USER_ID}),
        (TO | {"recipient": USER_ID}, {"recipient_type": "individual", "to": "+5511999990000"}),
        (TO | {"group": "Y2FwaQ"}, {"recipient_type": "group", "to": "Y2FwaQ"}),
    ],
)
async def test_meta_is_told_the_receiver(
    whatsapp: WhatsAppSender, providers: Providers, metadata: dict[str, str], fields: dict[str, str]
) -> None:
    """A user id goes into `recipient`, since Meta accepts it in `to` and delivers nothing; a number goes first."""
    await whatsapp.send(response(Channel.WHATSAPP, metadata), TextPart("x"), first=True)
    [request] = providers.requests
    sent = {name: request.json[name] for name in ("recipient_type", "to", "recipient") if name in request.json}
    assert sent == fields


async def test_twilio_is_told_the_receiver(whatsapp: WhatsAppSender, providers: Providers) -> None:
    """A user id stands where the number does, and groups do not exist there."""
    by_twilio = {"provider": "twilio", "recipient": USER_ID}
    await whatsapp.send(response(Channel.WHATSAPP, by_twilio), TextPart("x"), first=True)
    assert providers.requests[0].form["To"] == f"whatsapp:{USER_ID}"
    with pytest.raises(BadAddress, match="groups"):
        await whatsapp.send(response(Channel.WHATSAPP, by_twilio | {"group": "Y2FwaQ"}), TextPart("x"), first=True)


def test_a_user_id_has_its_own_window_and_a_group_has_none(whatsapp: WhatsAppSender) -> None:
    """The window of a customer without a number is kept under the user id."""
    by_id = whatsapp.send_limits(response(Channel.WHATSAPP, {"recipient": USER_ID}))
    in_group = whatsapp.send_limits(response(Channel.WHATSAPP, {"group": "Y2FwaQ"}))
    assert by_id.window == digest(USER_ID)
    assert in_group.window == ""


async def test_the_request_to_twilio(whatsapp: WhatsAppSender, providers: Providers) -> None:
    """Twilio gets a form with both addresses, and basic authentication."""
    assert await whatsapp.send(response(Channel.WHATSAPP, BY_TWILIO), TextPart("Olá & tchau"), first=True) == "SM1"
    [request] = providers.requests
    assert request.path == "/2010-04-01/Accounts/AC1/Messages.json"
    assert request.form == {
        "From": "whatsapp:+14155238886",
        "To": "whatsapp:+5511999990000",
        "Body": "Olá & tchau",
    }


def test_each_provider_has_its_limit(whatsapp: WhatsAppSender) -> None:
    """The limit is 4096 characters at Meta and 1600 at Twilio."""
    text = "abc. " * 1000
    by_meta = whatsapp.parts(response(Channel.WHATSAPP, TO, text=text))
    by_twilio = whatsapp.parts(response(Channel.WHATSAPP, BY_TWILIO, text=text))
    assert (len(by_meta), len(by_twilio)) == (2, 4)
    assert max(len(part.text) for part in by_meta) <= 4096
    assert max(len(part.text) for part in by_twilio) <= 1600


@pytest.mark.parametrize(
    ("metadata", "status", "document", "code", "fault"),
    [
        (TO, 400, {"error": {"code": 131047}}, "whatsapp_131047", FaultClass.FINAL),
        (TO, 400, {"error": {"code": 131056}}, "whatsapp_131056", FaultClass.TRANSIENT),
        (TO, 429, {"error": {"code": 130429}}, "whatsapp_130429", FaultClass.TRANSIENT),
        (TO, 401, {"error": {"code": 190}}, "whatsapp_190", FaultClass.FINAL),
        (TO, 503, {}, "whatsapp_503", FaultClass.TRANSIENT),
        (BY_TWILIO, 429, {"code": 20429}, "twilio_20429", FaultClass.TRANSIENT),
        (BY_TWILIO, 400, {"code": 63016}, "twilio_63016", FaultClass.FINAL),
        (BY_TWILIO, 400, {"code": 21211}, "twilio_21211", FaultClass.FINAL),
        (BY_TWILIO, 302, {}, "twilio_302", FaultClass.FINAL),
    ],
)
async def test_rejection_is_classified(
    *,
    whatsapp: WhatsAppSender,
    providers: Providers,
    metadata: dict[str, str],
    status: int,
    document: dict[str, object],
    code: str,
    fault: FaultClass,
) -> None:
    """The provider's own number decides, or else the status; the number is part of the failure's code."""
    providers.answers.append((status, document))
    with pytest.raises(DeliveryFailed) as raised:
        await whatsapp.send(response(Channel.WHATSAPP, metadata), TextPart("x"), first=True)
    assert (raised.value.code, raised.value.fault) == (code, fault)


@pytest.mark.parametrize(
    ("metadata", "status", "document"),
    [
        (TO, 500, {"error": {"code": 131000}}),
        (TO, 200, {"messages": []}),
        (BY_TWILIO, 201, {}),
    ],
)
async def test_answer_without_certainty_leads_to_unknown(
    whatsapp: WhatsAppSender,
    providers: Providers,
    metadata: dict[str, str],
    status: int,
    document: dict[str, object],
) -> None:
    """131000 and a success without an id do not tell whether it was sent."""
    providers.answers.append((status, document))
    with pytest.raises(DeliveryUnknown):
        await whatsapp.send(response(Channel.WHATSAPP, metadata), TextPart("x"), first=True)


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"to": "ana"},
        {"to": 5511999990000},
        {"to": "+0123456789"},
        TO | {"provider": "pigeon"},
        TO | {"provider": {}},
    ],
)
async def test_bad_metadata_is_final(
    whatsapp: WhatsAppSender, providers: Providers, metadata: dict[str, object]
) -> None:
    """Metadata without a valid phone or provider is a typed, final failure, and no request is made."""
    with pytest.raises(BadAddress):
        await whatsapp.send(response(Channel.WHATSAPP, metadata), TextPart("x"), first=True)
    assert providers.requests == []


async def test_missing_token_is_named(settings: Settings, poster: HttpClient) -> None:
    """Without a token the failure names the setting."""
    bare = settings.whatsapp.model_copy(update={"phone_number_id": ""})
    whatsapp = WhatsAppSender(settings.model_copy(update={"whatsapp": bare}), poster)
    with pytest.raises(BadAddress, match=r"\[whatsapp\] phone_number_id") as raised:
        await whatsapp.send(response(Channel.WHATSAPP, TO), TextPart("x"), first=True)
    assert raised.value.code == "not_configured"


async def test_second_number_sends_if_it_is_named(
    settings: Settings, poster: HttpClient, providers: Providers
) -> None:
    """A number of the routes may send, with a rate of its own; any other number is rejected."""
    agent = "3f1f2d1e-0000-4000-8000-000000000000"
    inbound = settings.inbound.model_copy(update={"routes": [f"whatsapp:2077={agent}", f"twilio:+1499={agent}"]})
    whatsapp = WhatsAppSender(settings.model_copy(update={"inbound": inbound}), poster)
    by_cloud, by_twilio = (
        response(Channel.WHATSAPP, one) for one in (TO | {"from": "2077"}, BY_TWILIO | {"from": "+1499"})
    )
    for reply in (by_cloud, by_twilio):
        await whatsapp.send(reply, TextPart("Olá"), first=True)
    first, second = providers.requests
    assert (first.path, second.form["From"]) == ("/v23.0/2077/messages", "whatsapp:+1499")
    usual = {bucket.name for bucket in whatsapp.send_limits(response(Channel.WHATSAPP, TO)).buckets}
    assert usual.isdisjoint(bucket.name for bucket in whatsapp.send_limits(by_cloud).buckets)
    with pytest.raises(BadAddress, match="routes"):
        await whatsapp.send(response(Channel.WHATSAPP, TO | {"from": "3000"}), TextPart("x"), first=True)
