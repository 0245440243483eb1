"""Each record of a webhook ends by itself: taken, refused and counted, or left to its provider."""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from daemons.gateway.app import serve
from msgctl.channels.inbound import Inbound, InboundText, StatusUpdate
from msgctl.config.settings import Settings
from msgctl.domain.errors import RedisUnavailable, Unavailable
from msgctl.domain.messages import Channel
from msgctl.inbound.batch import MAX_CONCURRENT, MAX_OUTAGES, InboundBatch
from msgctl.inbound.refusals import RefusalAccount
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.gateway_clients import running
from tests.support.webhooks import (
    FORM,
    PHONE,
    PUBLIC,
    counted,
    entries,
    messages,
    meta,
    number_value,
    refused,
    tell_meta,
    tell_telegram,
    tell_twilio,
    tell_twilio_fields,
    told,
    update,
    words,
)

READ = {"id": "wamid.7", "status": "read", "biz_opaque_callback_data": "m-1"}
GOOD = words("Olá")
NO_AGENT = number_value("2077", messages=[words("to nobody", 5)])


async def texts(redis: RedisClient) -> list[str]:
    """The accepted texts, sorted."""
    return sorted(message.message for message in await messages(redis))


async def prepare_receipt(redis: RedisClient) -> None:
    """Make the delivery that `READ` reports on."""
    fields: Any = {"state": "SENT", "channel": "whatsapp", "providerId": "wamid.7", "endedAt": 1}
    await redis.hset(f"{keys.DELIVERY}m-1", mapping=fields)


@pytest.mark.parametrize(
    ("case", "bad", "status", "kind"),
    [
        ("its agent does not exist", NO_AGENT, 503, "left"),
        ("its number is nobody's", number_value("3000", messages=[words("x", 5)]), 200, "nobody"),
        (
            "a number that is an object",
            {"metadata": {"phone_number_id": {}}, "messages": [words("x", 5)]},
            200,
            "nobody",
        ),
        ("no number at all", {"messages": [words("x", 5)]}, 200, "nobody"),
        ("no id", number_value(messages=[{"from": PHONE, "type": "text", "text": {"body": "x"}}]), 200, "refused"),
        ("an id that is a number", number_value(messages=[words("x", 5) | {"id": 5}]), 200, "refused"),
        ("nobody sent it", number_value(messages=[{"id": "wamid.5", "text": {"body": "x"}}]), 200, "refused"),
        ("a sender that is a list", number_value(messages=[words("x", 5) | {"from": [PHONE]}]), 200, "refused"),
        ("a message that is a number", number_value(messages=[3]), 200, "refused"),
        ("messages that are an object", number_value(messages={"id": "wamid.5"}), 200, "refused"),
        ("a status that is a text", number_value(statuses=["read"]), 200, "refused"),
        ("a status without an id", number_value(statuses=[{"status": "read"}]), 200, "refused"),
        (
            "a status of another program",
            number_value(statuses=[{"id": "w", "status": "read"}]),
            200,
            "status_read",
        ),
        ("a state that nobody knows", number_value(statuses=[READ | {"status": "sung"}]), 200, "status_sung"),
        ("a list that nobody knows", number_value(dances=[{"id": "wamid.5"}]), 200, "dances"),
        ("a type that nobody knows", number_value(messages=[words("x", 5) | {"type": "dance"}]), 200, "dance"),
        ("half an emoji in a name", number_value(contacts=[{"profile": {"name": "Jo\ufffd"}}]), 200, "text"),
        ("a text that is no text", number_value(messages=[words("x", 5) | {"text": {"body": 3}}]), 200, "text"),
        ("a timestamp of words", number_value(messages=[words("y", 5, timestamp="9" * 400)]), 200, "text"),
    ],
)
@pytest.mark.parametrize("bad_first", [True, False])
async def test_a_bad_record_of_meta_keeps_no_good_one_out(
    door: str, redis: RedisClient, *, case: str, bad: dict[str, Any], status: int, kind: str, bad_first: bool
) -> None:
    """The good text and the receipt beside it are taken at the first post, and a repetition is recognized."""
    await prepare_receipt(redis)
    before = counted("whatsapp", kind)
    good = number_value(messages=[GOOD], statuses=[READ])
    body = entries(*([bad, good] if bad_first else [good, bad])).replace(b"\xef\xbf\xbd", b"\\ud83d")
    assert await tell_meta(door, body) == status, case
    assert "Olá" in await texts(redis)
    assert await redis.hget(f"{keys.DELIVERY}m-1", "receipt") == "read"
    assert counted("whatsapp", kind) > before
    repeated = counted("whatsapp", "repeated")
    assert await tell_meta(door, body) == status
    assert counted("whatsapp", "repeated") > repeated
    assert (await texts(redis)).count("Olá") == 1


@pytest.mark.parametrize(
    "shape", [b'{"entry": 3}', b"{}", b'{"entry": [3, {"changes": 3}, {"changes": [3, {}]}]}']
)
async def test_another_shape_of_meta_is_counted(door: str, redis: RedisClient, shape: bytes) -> None:
    """A signed webhook that holds no record where Meta puts them is refused, not passed over."""
    before = refused("whatsapp", "unreadable")
    assert await tell_meta(door, shape) == 200
    assert refused("whatsapp", "unreadable") > before
    assert await messages(redis) == []


async def test_other_fields_of_meta_are_counted(door: str) -> None:
    """A subscription to more than messages brings records that ask nothing of an agent."""
    before = counted("whatsapp", "account_update")
    change = {"field": "account_update", "value": {"event": "VERIFIED_ACCOUNT"}}
    body = msgspec.json.encode({"entry": [{"id": "1", "changes": [change]}]})
    assert await tell_meta(door, body) == 200
    assert counted("whatsapp", "account_update") == before + 1


async def test_a_full_conversation_slows_nobody(opened: Settings, redis: RedisClient) -> None:
    """Of a flood, what exceeds the mailbox is refused with 200; others and other bots are served meanwhile."""
    narrow = opened.model_copy(update={"history": opened.history.model_copy(update={"max_mailbox": 2})})
    async with running(serve, narrow) as life:
        door = life.status.result().removeprefix("listening at ")
        before = refused("whatsapp", "mailbox_full"), refused("telegram", "mailbox_full")
        flood = [words(f"flood {number}", number) for number in range(5)]
        other = words("Bom dia", 9, "5511888880000")
        assert await tell_meta(door, entries(number_value(messages=[*flood, other], statuses=[READ]))) == 200
        assert await texts(redis) == ["Bom dia", "flood 0", "flood 1"]
        assert [await tell_telegram(door, update(number)) for number in range(3)] == [200] * 3
        assert await tell_telegram(door, update(9, id=43)) == 200
        assert (refused("whatsapp", "mailbox_full"), refused("telegram", "mailbox_full")) == (
            before[0] + 3,
            before[1] + 1,
        )
        assert len(await texts(redis)) == 6


@pytest.mark.parametrize(
    ("form", "kind", "reason"),
    [
        (FORM | {"To": "whatsapp:+1000"}, "nobody", "nobody"),
        (FORM | {"AccountSid": "AC2"}, "nobody", "nobody"),
        ({name: value for name, value in FORM.items() if name != "MessageSid"}, "refused", "no_id"),
        (FORM | {"From": "+5511999990000"}, "refused", "no_sender"),
        ({name: value for name, value in FORM.items() if name != "From"}, "refused", "no_sender"),
        (FORM | {"MessageStatus": "queued"}, "status_queued", ""),
        (FORM | {"Body": "", "MessageType": "dance"}, "dance", ""),
    ],
)
async def test_every_form_of_twilio_is_accounted_for(
    door: str, redis: RedisClient, form: dict[str, str], kind: str, reason: str
) -> None:
    """A signed form that is not taken is counted by kind, and by reason where it was refused."""
    before = counted("whatsapp", kind), refused("whatsapp", reason or "none")
    assert await tell_twilio(door, form) == 200
    assert counted("whatsapp", kind) == before[0] + 1
    assert refused("whatsapp", reason or "none") == before[1] + bool(reason)
    assert await messages(redis) == []
    assert await told(redis) == []


@pytest.mark.parametrize(
    ("public_url", "signed_url", "status"),
    [
        (PUBLIC, f"{PUBLIC}/webhooks/twilio", 200),
        (PUBLIC, f"{PUBLIC}:443/webhooks/twilio", 200),
        (f"{PUBLIC}:8443", f"{PUBLIC}/webhooks/twilio", 200),
        (f"{PUBLIC}:8443", f"{PUBLIC}:8443/webhooks/twilio", 200),
        ("http://chat.example.com/in", "http://chat.example.com:80/in/webhooks/twilio", 200),
        (PUBLIC, f"{PUBLIC}:8443/webhooks/twilio", 401),
        (PUBLIC, "https://other.example.com/webhooks/twilio", 401),
    ],
)
async def test_twilio_signs_either_spelling_of_the_port(
    opened: Settings, redis: RedisClient, public_url: str, signed_url: str, status: int
) -> None:
    """As Twilio's own library checks it: with the port and without, and over each value of a repeated name."""
    twilio = opened.twilio.model_copy(update={"public_url": public_url})
    fields = [("Tag", "b"), ("Tag", "a"), *FORM.items(), ("Tag", "b")]
    async with running(serve, opened.model_copy(update={"twilio": twilio})) as life:
        door = life.status.result().removeprefix("listening at ")
        assert await tell_twilio_fields(door, fields, signed_url=signed_url) == status
    assert len(await messages(redis)) == (status == 200)


async def test_half_an_emoji_costs_one_character(door: str, redis: RedisClient) -> None:
    """Telegram and Meta cut names and texts; neither is a reason to lose the message."""
    body = b'{"update_id": 1, "message": {"chat": {"id": 42, "first_name": "Jo\\ud83d"}, "text": "Oi \\ud83d"}}'
    assert await tell_telegram(door, body) == 200
    assert (
        await tell_meta(door, b"\xef\xbb\xbf" + meta(messages=[words("Oi")]).replace(b'"Oi"', b'"Oi\xff"')) == 200
    )
    assert await texts(redis) == ["Oi \ufffd", "Oi\ufffd"]


def text_item(number: int, conversation: str) -> InboundText:
    """A text of a conversation."""
    return InboundText(f"m{number}", conversation, Channel.WHATSAPP, f"text {number}", {}, "agent")


class Recorder:
    """Processes records as a test says, and remembers which ended well.

    Args:
        faults: by message id, the error to raise, or seconds to hang.
    """

    def __init__(self, faults: Mapping[str, Exception | float]) -> None:
        self.refusals = RefusalAccount()
        self.faults = faults
        self.tried: list[str] = []
        self.taken: list[str] = []

    async def process(self, item: Inbound) -> None:
        """Process one record."""
        assert isinstance(item, InboundText | StatusUpdate)
        self.tried.append(item.message_id)
        fault = self.faults.get(item.message_id)
        if isinstance(fault, Exception):
            raise fault
        await asyncio.sleep(fault or 0)
        self.taken.append(item.message_id)


async def test_each_record_has_its_own_time_limit() -> None:
    """One that hangs ends after its limit; a thousand others take as long as they need."""
    recorder = Recorder({"m0": 3600.0} | {f"m{number}": 0.02 for number in range(1, 200)})
    with pytest.raises(Unavailable):
        await InboundBatch(recorder, "whatsapp", 0.1).process(
            text_item(number, f"c{number}") for number in range(200)
        )
    assert sorted(recorder.taken) == sorted(f"m{number}" for number in range(1, 200))


async def test_a_dead_redis_is_not_waited_for_a_thousand_times() -> None:
    """After so many records in a row that Redis kept waiting, the rest is left without a try."""
    recorder = Recorder({f"m{number}": RedisUnavailable("Redis does not answer.") for number in range(1000)})
    before = counted("whatsapp", "left")
    with pytest.raises(RedisUnavailable):
        await InboundBatch(recorder, "whatsapp", 5).process(
            text_item(number, f"c{number}") for number in range(1000)
        )
    assert len(recorder.tried) <= MAX_OUTAGES + MAX_CONCURRENT
    assert counted("whatsapp", "left") == before + 1000


async def test_a_conversation_stays_in_order() -> None:
    """A record behind one that is left would overtake it, so it is left too; other conversations go on."""
    recorder = Recorder({"m1": Unavailable("Its agent does not exist."), "m4": KeyError("a bug")})
    items = [text_item(number, "a" if number < 3 else f"b{number}") for number in range(6)]
    with pytest.raises(Unavailable):
        await InboundBatch(recorder, "whatsapp", 5).process(items)
    assert sorted(recorder.tried) == ["m0", "m1", "m3", "m4", "m5"]
    assert sorted(recorder.taken) == ["m0", "m3", "m5"]


def test_a_reason_is_logged_once_a_minute(capfd: pytest.CaptureFixture[str]) -> None:
    """The line says what to do and how many records it stands for; another reason has a line of its own."""
    now = [0.0]
    account = RefusalAccount(lambda: now[0])
    before = refused("whatsapp", "nobody")
    for _ in range(50):
        account.refuse("whatsapp", "nobody", "Set [inbound] routes.", kind="nobody")
    account.refuse("whatsapp", "no_id", "A message has no id.")
    now[0] = 61.0
    account.refuse("whatsapp", "nobody", "Set [inbound] routes.", kind="nobody")
    lines = [line for line in "".join(capfd.readouterr()).splitlines() if "refused" in line]
    assert len(lines) == 3
    assert "further" in lines[2]
    assert "49" in lines[2]
    assert "[inbound] routes" in lines[0]
    assert refused("whatsapp", "nobody") == before + 51
