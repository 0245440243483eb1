"""Customers of WhatsApp: with a number, without one, with two spellings of it, and in groups."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from daemons.gateway.app import serve
from msgctl.channels.send_limits import digest
from msgctl.channels.whatsapp.addresses import recipient
from msgctl.channels.whatsapp.customer_address import other_spellings
from msgctl.config.settings import Settings
from msgctl.domain.errors import BadAddress
from msgctl.domain.messages import Channel, Message, Reply, Response
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.gateway_clients import running
from tests.support.webhooks import (
    FORM,
    PHONE,
    counted,
    entries,
    messages,
    number_value,
    refused,
    tell_meta,
    tell_twilio,
    told,
    words,
)

USER = "BR.1393000000000001"
PARENT = "BR.ENT.11815799212886844830"
NEW_USER = "BR.2222222222222222"
SHORT = "551199990000"
"""`PHONE` as WhatsApp often spells it: without Brazil's ninth digit."""


def hidden(number: int, user: str = USER, **fields: Any) -> dict[str, Any]:
    """A text of a customer whose number is hidden."""
    message = words(f"text {number}", number, from_user_id=user, **fields)
    return {name: value for name, value in message.items() if name != "from"}


def value_of(message: dict[str, Any], **contact: Any) -> dict[str, Any]:
    """The value with one message and the contact that goes with it."""
    contacts = [{"profile": {"name": "Ana", "username": "@ana"}, **contact}] if contact else []
    return number_value(contacts=contacts, messages=[message])


async def accepted(redis: RedisClient) -> list[Message]:
    """The accepted messages by their text."""
    return sorted(await messages(redis), key=lambda message: message.message)


async def conversations(redis: RedisClient) -> set[str]:
    """The conversations of all accepted messages."""
    return {message.conversation_id for message in await accepted(redis)}


@pytest.mark.parametrize(
    ("message", "contact", "metadata"),
    [
        (hidden(1), {"user_id": USER}, {"recipient": USER}),
        (hidden(1), {}, {"recipient": USER}),
        (hidden(1) | {"from": USER}, {}, {"recipient": USER}),
        (
            {name: value for name, value in hidden(1).items() if name != "from_user_id"} | {"from": USER},
            {},
            {"recipient": USER},
        ),
        (hidden(1, PARENT), {"user_id": PARENT}, {"recipient": PARENT}),
        (hidden(1), {"user_id": USER, "wa_id": PHONE}, {"to": f"+{PHONE}", "recipient": USER}),
        (words("text 1"), {"user_id": USER, "wa_id": PHONE}, {"to": f"+{PHONE}", "recipient": USER}),
        (words("text 1", from_user_id=USER), {}, {"to": f"+{PHONE}", "recipient": USER}),
        (words("text 1"), {"user_id": USER, "wa_id": "5521988887777"}, {"to": f"+{PHONE}"}),
        (words("text 1", from_user_id="not an id"), {}, {"to": f"+{PHONE}"}),
    ],
)
async def test_a_customer_is_known_by_number_or_user_id(
    door: str, redis: RedisClient, message: dict[str, Any], contact: dict[str, Any], metadata: dict[str, str]
) -> None:
    """Whatever Meta tells of the sender is an address to answer to; each of them opens the window."""
    assert await tell_meta(door, entries(value_of(message, **contact))) == 200
    [found] = await accepted(redis)
    assert found.channel_metadata == metadata | {"provider": "cloud"}
    for address in metadata.values():
        assert await redis.exists(keys.WINDOW + digest(address))
    assert not any(secret in found.conversation_id + found.message_id for secret in (PHONE, USER))


@pytest.mark.parametrize(
    "sent",
    [
        [
            value_of(words("text 1", 1), user_id=USER, wa_id=PHONE),
            value_of(hidden(2)),
            value_of(words("text 3", 3)),
        ],
        [
            value_of(hidden(1)),
            value_of(words("text 2", 2, from_user_id=USER)),
            value_of(words("text 3", 3)),
            value_of(hidden(4)),
        ],
        [value_of(words("text 1", 1)), value_of(words("text 2", 2, from_user_id=USER)), value_of(hidden(3))],
        [value_of(words("text 1", 1)), value_of(words("text 2", 2, SHORT)), value_of(words("text 3", 3))],
        [
            value_of(words("text 1", 1, SHORT)),
            value_of(words("text 2", 2)),
            value_of(hidden(3), user_id=USER, wa_id=SHORT),
        ],
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
async def test_a_conversation_stays_when_the_number_comes_or_goes(
    door: str, redis: RedisClient, sent: list[dict[str, Any]], *, at_once: bool
) -> None:
    """One conversation, in order, whether the records come in one webhook or in several, and repeated ones."""
    posts = [entries(*sent)] if at_once else [entries(value) for value in sent]
    for body in (*posts, *posts):
        assert await tell_meta(door, body) == 200
    found = await accepted(redis)
    assert [message.message for message in found] == [f"text {number}" for number in range(1, len(sent) + 1)]
    assert len(await conversations(redis)) == 1


async def test_separate_customers_stay_separate(door: str, redis: RedisClient) -> None:
    """Another user id, another number, and a landline that only looks like a mobile without its ninth digit."""
    sent = [
        hidden(1),
        hidden(2, NEW_USER),
        words("text 3", 3),
        words("text 4", 4, "5511333330000"),
        words("text 5", 5, "5511933330000"),
    ]
    for message in sent:
        assert await tell_meta(door, entries(value_of(message))) == 200
    assert len(await conversations(redis)) == 5


async def test_two_conversations_become_one(door: str, redis: RedisClient) -> None:
    """If both had begun before they were known to be one customer's, the one that was used last goes on."""
    for message in (words("text 1", 1), hidden(2)):
        assert await tell_meta(door, entries(value_of(message))) == 200
    await redis.pexpire(f"{keys.CONVERSATION}{(await accepted(redis))[0].conversation_id}", 1_000_000)
    for message in (words("text 3", 3, from_user_id=USER), words("text 4", 4), hidden(5)):
        assert await tell_meta(door, entries(value_of(message))) == 200
    found = await accepted(redis)
    assert {message.conversation_id for message in found[1:]} == {found[1].conversation_id}
    assert found[0].conversation_id != found[1].conversation_id


async def test_an_alias_lives_as_long_as_its_conversation(
    door: str, redis: RedisClient, settings: Settings
) -> None:
    """Every message renews all addresses of the customer, also those that it does not name."""
    assert await tell_meta(door, entries(value_of(words("text 1", 1, from_user_id=USER)))) == 200
    aliases = [key async for key in redis.scan_iter(keys.ALIAS + "*")]
    assert aliases
    for key in (*aliases, *[key async for key in redis.scan_iter(keys.ALIASES + "*")]):
        await redis.pexpire(key, 60_000)
    assert await tell_meta(door, entries(value_of(words("text 2", 2)))) == 200
    for key in aliases:
        assert await redis.pttl(key) > settings.history.ttl * 1000


@pytest.mark.parametrize(
    ("system", "later"),
    [
        (
            {"type": "user_changed_number", "wa_id": "5521988887777", "user_id": NEW_USER},
            words("text 2", 2, "5521988887777"),
        ),
        ({"type": "user_changed_number", "wa_id": "5521988887777", "user_id": NEW_USER}, hidden(2, NEW_USER)),
        ({"type": "customer_changed_number", "new_wa_id": "5521988887777"}, words("text 2", 2, "5521988887777")),
        ({"type": "user_changed_user_id", "previous_user_id": USER, "user_id": NEW_USER}, hidden(2, NEW_USER)),
    ],
)
async def test_a_changed_number_keeps_the_conversation(
    door: str, redis: RedisClient, system: dict[str, Any], later: dict[str, Any]
) -> None:
    """Meta's notice is counted, nobody is answered, and the next message goes on where the last one ended."""
    before = counted("whatsapp", "system")
    notice = {"id": "wamid.S", "from": PHONE, "type": "system", "system": {"body": "User changed", **system}}
    if system["type"] == "user_changed_user_id":
        del notice["from"]
    for message in (words("text 1", 1, from_user_id=USER), notice, later):
        assert await tell_meta(door, entries(value_of(message))) == 200
    assert counted("whatsapp", "system") == before + 1
    assert [message.message for message in await accepted(redis)] == ["text 1", "text 2"]
    assert len(await conversations(redis)) == 1
    assert await told(redis) == []


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ({"type": "revoke", "revoke": {"original_message_id": "wamid.1"}}, "revoke"),
        (
            {
                "type": "edit",
                "edit": {"original_message_id": "w", "message": {"type": "text", "text": {"body": "Quero dois"}}},
            },
            "edit",
        ),
        ({"type": "unknown", "errors": [{"code": 131051}]}, "unknown"),
        ({"type": "request_welcome"}, "request_welcome"),
        ({"type": "ephemeral"}, "ephemeral"),
        ({"type": "reaction", "reaction": {"emoji": "x"}}, "reaction"),
        ({"type": "something_new", "text": {"body": "x"}}, "something_new"),
        ({"group_id": "Y2FwaQ", "type": "text", "text": {"body": "Oi"}}, "group"),
        ({"from": "15550100200", "type": "text", "text": {"body": "our own"}}, "echo"),
    ],
)
async def test_an_event_is_counted_and_silent(
    door: str, redis: RedisClient, message: dict[str, Any], kind: str
) -> None:
    """The agent is not asked, the customer gets no reply, and a group's message opens no private window."""
    before = counted("whatsapp", kind)
    record = {"id": "wamid.E", "from": PHONE, **message}
    assert await tell_meta(door, entries(number_value(messages=[record]))) == 200
    assert counted("whatsapp", kind) == before + 1
    assert await messages(redis) == []
    assert await told(redis) == []
    if kind in {"group", "echo"}:
        assert [key async for key in redis.scan_iter(keys.WINDOW + "*")] == []


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            {
                "type": "interactive",
                "interactive": {
                    "type": "nfm_reply",
                    "nfm_reply": {
                        "name": "flow",
                        "body": "Sent",
                        "response_json": '{"flow_token":"t","data":"2026-12-01"}',
                    },
                },
            },
            '{"data": "2026-12-01"}',
        ),
        (
            {
                "type": "order",
                "order": {"text": "por favor", "product_items": [{"product_retailer_id": "SKU-1", "quantity": 2}]},
            },
            "por favor\n2 x SKU-1",
        ),
        ({"type": "order", "order": {"text": "por favor"}}, "por favor"),
    ],
)
async def test_what_a_customer_filled_in_reaches_the_agent(
    door: str, redis: RedisClient, content: dict[str, Any], expected: str
) -> None:
    """A form and an order are words of the customer."""
    assert await tell_meta(door, entries(number_value(messages=[{"id": "w", "from": PHONE, **content}]))) == 200
    [message] = await messages(redis)
    assert message.message == expected


@pytest.fixture
async def sociable_door(opened: Settings) -> AsyncIterator[str]:
    """A gateway that answers in groups and answers edits."""
    inbound = opened.inbound.model_copy(update={"groups": True, "edits": True})
    async with running(serve, opened.model_copy(update={"inbound": inbound})) as life:
        yield life.status.result().removeprefix("listening at ")


async def test_groups_are_answered_in_the_group_if_configured(sociable_door: str, redis: RedisClient) -> None:
    """Both senders share the group's conversation, which is neither one's private conversation."""
    group = {"group_id": "Y2FwaQ"}
    sent = [words("text 1", 1, **group), words("text 2", 2, "5521988887777", **group), words("text 3", 3)]
    for message in sent:
        assert await tell_meta(sociable_door, entries(value_of(message))) == 200
    first, second, private = await accepted(redis)
    assert first.conversation_id == second.conversation_id != private.conversation_id
    assert first.channel_metadata == {"group": "Y2FwaQ", "provider": "cloud"}
    assert not await redis.exists(keys.WINDOW + digest("+5521988887777"))
    voice = {"id": "wamid.V", "from": PHONE, "type": "audio", "audio": {}, **group}
    assert await tell_meta(sociable_door, entries(value_of(voice))) == 200
    assert await told(redis) == []


async def test_an_edit_is_answered_if_configured(sociable_door: str, redis: RedisClient) -> None:
    """The new text is a further message of the conversation."""
    edit = {"type": "text", "text": {"body": "text 2"}}
    for message in (words("text 1", 1), words("", 2) | {"type": "edit", "edit": {"message": edit}}):
        assert await tell_meta(sociable_door, entries(value_of(message))) == 200
    assert [message.message for message in await accepted(redis)] == ["text 1", "text 2"]
    assert len(await conversations(redis)) == 1


@pytest.mark.parametrize(
    ("form", "metadata"),
    [
        ({"From": f"whatsapp:{USER}"}, {"recipient": USER}),
        ({"From": "", "ExternalUserId": USER}, {"recipient": USER}),
        ({"From": f"whatsapp:+{PHONE}", "ExternalUserId": USER}, {"to": f"+{PHONE}", "recipient": USER}),
        ({"From": f"whatsapp:{PHONE}"}, {"to": f"+{PHONE}"}),
    ],
)
async def test_twilio_customers_without_a_number_are_heard(
    door: str, redis: RedisClient, form: dict[str, str], metadata: dict[str, str]
) -> None:
    """With the number in one message and without it in the next, the conversation is the same."""
    assert await tell_twilio(door, FORM | form) == 200
    [message] = await messages(redis)
    assert message.channel_metadata == metadata | {"provider": "twilio"}
    both = {"From": f"whatsapp:+{PHONE}", "ExternalUserId": USER, "MessageSid": "SM2"}
    assert await tell_twilio(door, FORM | both) == 200
    assert len(await conversations(redis)) == 1


async def test_twilio_echo_is_not_answered(door: str, redis: RedisClient) -> None:
    """A message from our own sender would be answered forever."""
    before = refused("whatsapp", "no_sender")
    assert await tell_twilio(door, FORM | {"From": "whatsapp:+1415"}) == 200
    assert await messages(redis) == []
    assert refused("whatsapp", "no_sender") == before + 1  # four digits are no customer's number


@pytest.mark.parametrize(
    ("phone", "others"),
    [
        ("+5511999990000", ("+551199990000",)),
        ("+551199990000", ("+5511999990000",)),
        ("+551133330000", ()),
        ("+5511933330000", ()),
        ("+5511099990000", ()),
        ("+5215512345678", ("+525512345678",)),
        ("+525512345678", ("+5215512345678",)),
        ("+5491123456789", ("+541123456789",)),
        ("+541123456789", ("+5491123456789",)),
        ("+14155238886", ()),
        ("+49911999990000", ()),
        ("", ()),
    ],
)
def test_spellings_of_a_number(phone: str, others: tuple[str, ...]) -> None:
    """Only mobiles that WhatsApp knows under two numbers have another spelling."""
    assert other_spellings(phone) == others
    for other in others:
        assert other_spellings(other) == (phone,)


def response_to(metadata: dict[str, Any]) -> Response:
    """A response with these `channelMetadata`."""
    return Response(
        message_id="m",
        conversation_id="c",
        user_id="ana",
        agent_id="a",
        channel=Channel.WHATSAPP,
        channel_metadata=metadata,
        response=Reply(message="Oi"),
        timestamp="2026-12-01T00:00:00.000Z",
        processing_time=1,
    )


@pytest.mark.parametrize(
    ("metadata", "address"),
    [
        ({"to": PHONE}, f"+{PHONE}"),
        ({"to": f"+{PHONE}", "recipient": USER}, f"+{PHONE}"),
        ({"recipient": USER}, USER),
        ({"to": USER}, USER),
        ({"group": "Y2FwaQ", "to": PHONE}, "Y2FwaQ"),
        ({}, None),
        ({"to": "BR.ção"}, None),
        ({"to": 5, "recipient": USER}, None),
        ({"recipient": PHONE}, None),
        ({"group": ""}, None),
    ],
)
def test_receiver_of_a_response(metadata: dict[str, Any], address: str | None) -> None:
    """A number goes before a user id, as at Meta, and nothing else is an address."""
    read: Callable[[], str] = lambda: recipient(response_to(metadata)).address  # noqa: E731 - one line for both
    if address is None:
        with pytest.raises(BadAddress):
            read()
    else:
        assert read() == address
