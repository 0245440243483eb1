"""Who may send through which channel. A WebSocket knows only channel `web`, so HTTP is where it is decided."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from msgctl.agents.agents import Agent, Agents
from msgctl.config.settings import Settings
from tests.support.gateway_clients import Client, gateways

PHONE = "+5511999990000"
CLOUD_NUMBER, OTHER_CLOUD_NUMBER = "1000001", "2000002"
TWILIO_NUMBER = "+14155238886"
FIRST_BOT, SECOND_BOT = "111111", "222222"

WHATSAPP = {"channel": "whatsapp", "channelMetadata": {"to": PHONE}}
TWILIO = {"channel": "whatsapp", "channelMetadata": {"to": PHONE, "provider": "twilio"}}
TELEGRAM = {"channel": "telegram", "channelMetadata": {"chatId": 555}}
CALLBACK = {"channel": "api", "channelMetadata": {"callbackUrl": "https://example.com/replies"}}


def with_metadata(message: dict[str, Any], **metadata: object) -> dict[str, Any]:
    """A message with further channel metadata."""
    return {**message, "channelMetadata": {**message["channelMetadata"], **metadata}}


@pytest.fixture
async def eves_agent(settings: Settings) -> Agent:
    """An agent of user `eve`, who has no sender of her own except the second bot."""
    async with Agents(settings) as agents:
        return await agents.add(user_id="eve", name="Eve's agent", webhook_path="eve")


@pytest.fixture
async def routed(settings: Settings, agent: Agent, eves_agent: Agent) -> Settings:
    """Settings in which all senders belong to Ana, except the second bot."""
    tables = settings.model_dump()
    tables["auth"] |= {"channels": "granted", "jwt_secret": settings.auth.jwt_secret}
    tables["whatsapp"] |= {"phone_number_id": CLOUD_NUMBER, "token": "t", "agent": agent.id}
    tables["twilio"] |= {"sender": TWILIO_NUMBER, "account_sid": "AC1", "auth_token": "t", "agent": agent.id}
    tables["telegram"] |= {"token": f"{FIRST_BOT}:a {SECOND_BOT}:b", "agent": agent.id}
    tables["inbound"] |= {
        "routes": [f"whatsapp:{OTHER_CLOUD_NUMBER}={agent.id}", f"telegram:{SECOND_BOT}={eves_agent.id}"]
    }
    return Settings.model_validate(tables)


@pytest.fixture
async def gateway_clients(routed: Settings) -> AsyncIterator[Any]:
    """Makes clients of a gateway with these senders."""
    async with gateways(routed) as (make,):
        yield make


async def refusal(client: Client, agent: Agent, message: dict[str, Any]) -> str:
    """The code with which a message is refused; empty if it is accepted."""
    answer = await client.post({"agentId": agent.id, "message": "hello", **message})
    return "" if answer.status == 202 else answer.code


EVE_REFUSED = [
    WHATSAPP,
    with_metadata(WHATSAPP, **{"from": OTHER_CLOUD_NUMBER}),
    with_metadata(WHATSAPP, **{"from": "999"}),
    with_metadata(WHATSAPP, **{"from": 1000001}),
    with_metadata(WHATSAPP, provider="nobody"),
    TWILIO,
    with_metadata(TWILIO, **{"from": TWILIO_NUMBER}),
    TELEGRAM,
    with_metadata(TELEGRAM, bot=FIRST_BOT),
    with_metadata(TELEGRAM, bot=int(FIRST_BOT)),
    with_metadata(TELEGRAM, bot=None),
]


@pytest.mark.parametrize("message", EVE_REFUSED)
async def test_senders_of_another_user_are_refused(
    gateway_clients: Any, eves_agent: Agent, message: dict[str, Any]
) -> None:
    """A user whose agent does not answer at the sender cannot send through it."""
    assert await refusal(gateway_clients("eve"), eves_agent, message) == "channel_not_granted"


@pytest.mark.parametrize("message", [with_metadata(TELEGRAM, bot=SECOND_BOT), CALLBACK, {"channel": "web"}])
async def test_own_sender_callback_and_web_are_accepted(
    gateway_clients: Any, eves_agent: Agent, message: dict[str, Any]
) -> None:
    """The route of a sender leads to an agent of its user. Web and callbacks need no grant."""
    assert await refusal(gateway_clients("eve"), eves_agent, message) == ""


@pytest.mark.parametrize(
    "message", [WHATSAPP, with_metadata(WHATSAPP, **{"from": OTHER_CLOUD_NUMBER}), TWILIO, TELEGRAM]
)
async def test_owner_of_the_sender_is_accepted(
    gateway_clients: Any, agent: Agent, message: dict[str, Any]
) -> None:
    """The owner of the agent at a sender sends through it."""
    assert await refusal(gateway_clients("ana"), agent, message) == ""


@pytest.mark.parametrize(
    ("scope", "whatsapp", "telegram"),
    [
        ("channels", "", ""),
        ("read channels:whatsapp", "", "channel_not_granted"),
        ("channels:telegram", "channel_not_granted", ""),
        ("channels:web channels:", "channel_not_granted", "channel_not_granted"),
        (["channels"], "channel_not_granted", "channel_not_granted"),
        ("CHANNELS", "channel_not_granted", "channel_not_granted"),
    ],
)
async def test_scope_grants_channels(
    gateway_clients: Any, eves_agent: Agent, scope: Any, whatsapp: str, telegram: str
) -> None:
    """The scope of a token grants all channels, or one by name."""
    client = gateway_clients("eve", scope=scope)
    assert await refusal(client, eves_agent, WHATSAPP) == whatsapp
    assert await refusal(client, eves_agent, TELEGRAM) == telegram


async def test_any_grants_all_users(routed: Settings, eves_agent: Agent) -> None:
    """An installation with a single tenant lets every user send."""
    auth = routed.auth.model_copy(update={"channels": "any"})
    async with gateways(routed.model_copy(update={"auth": auth})) as (make,):
        assert await refusal(make("eve"), eves_agent, WHATSAPP) == ""


@pytest.mark.parametrize("message", [WHATSAPP, TELEGRAM])
async def test_channel_without_credentials_is_refused(
    client: Client, agent: Agent, message: dict[str, Any]
) -> None:
    """A message whose reply could never be sent is not accepted."""
    assert await refusal(client, agent, message) == "channel_not_configured"


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ({"channel": "whatsapp"}, "channelMetadata.to"),
        ({"channel": "whatsapp", "channelMetadata": {"to": ""}}, "channelMetadata.to"),
        ({"channel": "telegram", "channelMetadata": {"bot": FIRST_BOT}}, "channelMetadata.chatId"),
        ({"channel": "api"}, "channelMetadata.callbackUrl"),
    ],
)
async def test_message_without_address_is_refused(
    gateway_clients: Any, agent: Agent, message: dict[str, Any], field: str
) -> None:
    """A reply without an address could never be sent. The details name the field."""
    answer = await gateway_clients("ana").post({"agentId": agent.id, "message": "hello", **message})
    assert (answer.status, answer.code) == (422, "validation_error")
    assert [detail["field"] for detail in answer.json["error"]["details"]] == [field]
