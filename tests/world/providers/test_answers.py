"""Every answer of a provider, or of a proxy before it, with what becomes of the reply.

A row is: the channel, the answers in their order, then the state, the sends, and the code of the delivery. After
the listed answers the provider works. The messages go through a real subscriber and Redis.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest

from msgctl.config.settings import Settings
from msgctl.domain.messages import Channel
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.providers import Answer, Providers, Raw
from tests.support.replies import Replies, response
from tests.support.subscriber import Desk, ended, held
from tools.support.daemons import until

HTML = {"Content-Type": "text/html"}
JSON = {"Content-Type": "application/json"}
PAGE = "<html><head><title>Bad gateway</title></head><body><center><h1>Bad gateway</h1></center></body></html>"
ALWAYS = 12
"""More answers than any delivery can ask for."""

METADATA: dict[str, tuple[Channel, dict[str, Any]]] = {
    "telegram": (Channel.TELEGRAM, {"chatId": 42}),
    "group": (Channel.TELEGRAM, {"chatId": -1001}),
    "markup": (Channel.TELEGRAM, {"chatId": 42, "parseMode": "HTML"}),
    "reply": (Channel.TELEGRAM, {"chatId": -1001, "replyToMessageId": 7}),
    "meta": (Channel.WHATSAPP, {"to": "+5511999990000"}),
    "twilio": (Channel.WHATSAPP, {"to": "+5511999990000", "provider": "twilio"}),
    "callback": (Channel.API, {}),
}


def page(status: int, **headers: str) -> Raw:
    """The page of a proxy."""
    return Raw(status, PAGE, HTML | {name.replace("_", "-"): value for name, value in headers.items()})


def telegram(status: int, description: str, **parameters: int) -> Answer:
    """An error in Telegram's words."""
    document = {"ok": False, "error_code": status, "description": description}
    return status, document | ({"parameters": parameters} if parameters else {})


def meta(status: int, code: int) -> Answer:
    """An error in Meta's words."""
    return status, {"error": {"message": "x", "type": "OAuthException", "code": code, "fbtrace_id": "A"}}


def twilio(status: int, code: int) -> Answer:
    """An error in Twilio's words."""
    return status, {"code": code, "message": "x", "more_info": "https://x", "status": status}


class Row(NamedTuple):
    """One case."""

    channel: str
    answers: Sequence[Answer]
    state: str
    sends: int
    code: str | None = None
    unknown: str = "default"
    """The policy for an unknown outcome."""


TG_SENT = '{"ok":true,"result":{"message_id":77,"from":{"id":123456,"is_bot":true,"first_name":"Jo'
ROWS = {
    # A server error of a proxy says nothing about the message.
    "telegram-502-page": Row("telegram", [page(502)] * ALWAYS, "UNKNOWN", 2, "telegram_502"),
    "telegram-504-page": Row("telegram", [page(504)] * ALWAYS, "UNKNOWN", 2, "telegram_504"),
    "telegram-503-page": Row("telegram", [page(503)] * ALWAYS, "UNKNOWN", 2, "telegram_503"),
    "telegram-520-page": Row("telegram", [page(520)] * ALWAYS, "UNKNOWN", 2, "telegram_520"),
    "telegram-502-empty": Row("telegram", [Raw(502)] * ALWAYS, "UNKNOWN", 2, "telegram_502"),
    "telegram-502-once": Row("telegram", [page(502)], "SENT", 2),
    "telegram-502-keep": Row("telegram", [page(502)], "UNKNOWN", 1, "telegram_502", "keep"),
    "telegram-500-own": Row(
        "telegram", [telegram(500, "Internal Server Error")] * ALWAYS, "UNKNOWN", 2, "telegram_500"
    ),
    "meta-504-page": Row("meta", [page(504)] * ALWAYS, "UNKNOWN", 1, "whatsapp_504"),
    "meta-504-resend": Row("meta", [page(504)] * ALWAYS, "UNKNOWN", 2, "whatsapp_504", "resend"),
    "meta-500-unlisted": Row("meta", [meta(500, 999_999)] * ALWAYS, "UNKNOWN", 1, "whatsapp_999999"),
    "meta-500-131000": Row("meta", [meta(500, 131000)], "UNKNOWN", 1, "whatsapp_131000"),
    "twilio-502-page": Row("twilio", [page(502)] * ALWAYS, "UNKNOWN", 2, "twilio_502"),
    "twilio-500-own": Row("twilio", [twilio(500, 20500)] * ALWAYS, "UNKNOWN", 2, "twilio_20500"),
    "twilio-503-own": Row("twilio", [twilio(503, 20503)] * ALWAYS, "UNKNOWN", 2, "twilio_20503"),
    "twilio-500-missing": Row("twilio", [twilio(500, 20500)], "SENT", 2),
    "callback-502-page": Row("callback", [page(502)] * ALWAYS, "FAILED", 3, "callback_502"),
    "callback-502-once": Row("callback", [page(502)], "SENT", 2),
    # Twilio is asked for its list, and a message in it is not sent again.
    "twilio-500-taken": Row(
        "twilio", [Raw(500, '{"code": 20500, "status": 500}', JSON, is_taken=True)], "SENT", 1
    ),
    "twilio-502-taken": Row("twilio", [Raw(502, PAGE, HTML, is_taken=True)], "SENT", 1),
    "twilio-503-taken": Row("twilio", [Raw(503, "", {"Retry-After": "0"}, is_taken=True)], "SENT", 1),
    "twilio-cut-taken": Row("twilio", ["lost"], "SENT", 1),
    "twilio-second-taken": Row("twilio", [page(502), Raw(502, PAGE, HTML, is_taken=True)], "SENT", 2),
    # A 503 in the provider's own words says that the message was not taken.
    "telegram-503-own": Row(
        "telegram", [telegram(503, "Service Unavailable")] * ALWAYS, "FAILED", 2, "telegram_503"
    ),
    "telegram-503-once": Row("telegram", [telegram(503, "Service Unavailable")], "SENT", 2),
    "telegram-503-asks": Row("telegram", [page(503, Retry_After="0")], "SENT", 2),
    "meta-503-2": Row("meta", [meta(503, 2)] * ALWAYS, "FAILED", 2, "whatsapp_2"),
    "meta-500-131016": Row("meta", [meta(500, 131016)], "SENT", 2),
    "meta-500-131057": Row("meta", [meta(500, 131057)], "SENT", 2),
    # Two sends that may have arrived, in any mixture.
    "cut-then-503": Row("telegram", ["cut", telegram(503, "x"), telegram(503, "x")], "UNKNOWN", 2, "telegram_503"),
    "503-then-cut": Row("telegram", [telegram(503, "x"), "cut", "cut"], "UNKNOWN", 2, "delivery_unknown"),
    "502-429-502": Row("telegram", [page(502), (429, {}), page(502), page(502)], "UNKNOWN", 3, "telegram_502"),
    "502-then-403": Row("telegram", [page(502), telegram(403, "Forbidden: x")], "FAILED", 2, "telegram_403"),
    # A success that cannot be read.
    "telegram-200-page": Row("telegram", [Raw(200, PAGE, HTML)] * ALWAYS, "UNKNOWN", 2, "telegram_no_id"),
    "telegram-200-truncated": Row("telegram", [Raw(200, TG_SENT, JSON)], "SENT", 1),
    "telegram-200-no-id": Row("telegram", [(200, {"ok": True})], "UNKNOWN", 1, "telegram_no_id"),
    "telegram-200-broken-off": Row("telegram", [Raw(200, TG_SENT, JSON, missing_bytes=300)], "SENT", 1),
    "telegram-200-half-emoji": Row("telegram", [Raw(200, TG_SENT + '\\ud83d"}}}', JSON)], "SENT", 1),
    "telegram-200-mark": Row(
        "telegram", [Raw(200, b"\xef\xbb\xbf" + f'{TG_SENT}"}}}}}}'.encode(), JSON)], "SENT", 1
    ),
    "telegram-200-not-utf8": Row("telegram", [Raw(200, TG_SENT.encode() + b'\xff"}}}', JSON)], "SENT", 1),
    "telegram-200-nested": Row(
        "telegram", [Raw(200, '{"ok":true,"result":{"message_id":7,"x":' + "[" * 5000, JSON)], "SENT", 1
    ),
    "meta-200-page": Row("meta", [Raw(200, PAGE, HTML)], "UNKNOWN", 1, "whatsapp_no_id"),
    "meta-200-no-id": Row("meta", [(200, {"messages": []})], "UNKNOWN", 1, "whatsapp_no_id"),
    "meta-200-no-id-resend": Row("meta", [(200, {"messages": []})], "UNKNOWN", 1, "whatsapp_no_id", "resend"),
    "meta-200-truncated": Row(
        "meta", [Raw(200, '{"messaging_product":"whatsapp","messages":[{"id":"wamid.HBg="', JSON)], "SENT", 1
    ),
    "twilio-201-no-sid": Row("twilio", [Raw(201, "{}", JSON, is_taken=True)], "SENT", 1),
    "twilio-201-page": Row("twilio", [Raw(201, PAGE, HTML)], "SENT", 2),
    "twilio-201-truncated": Row("twilio", [Raw(201, '{"body":"Ol","sid":"SM0f","da', JSON)], "SENT", 1),
    # Recipient troubles are final for the reply.
    "telegram-chat-not-found": Row(
        "telegram", [telegram(400, "Bad Request: chat not found")], "FAILED", 1, "telegram_400"
    ),
    "telegram-blocked": Row(
        "telegram", [telegram(403, "Forbidden: bot was blocked by the user")], "FAILED", 1, "telegram_403"
    ),
    "telegram-no-rights": Row(
        "group",
        [telegram(400, "Bad Request: not enough rights to send text messages to the chat")],
        "FAILED",
        1,
        "telegram_400",
    ),
    "telegram-too-long": Row(
        "telegram", [telegram(400, "Bad Request: message is too long")], "FAILED", 1, "telegram_400"
    ),
    "telegram-empty": Row(
        "telegram", [telegram(400, "Bad Request: message text is empty")], "FAILED", 1, "blank_reply"
    ),
    "telegram-400-page": Row("telegram", [page(400)], "FAILED", 1, "telegram_400"),
    "meta-131021": Row("meta", [meta(400, 131021)], "FAILED", 1, "whatsapp_131021"),
    "meta-130497": Row("meta", [meta(403, 130497)], "FAILED", 1, "whatsapp_130497"),
    "meta-unlisted-400": Row("meta", [meta(400, 999_999)], "FAILED", 1, "whatsapp_999999"),
    "twilio-63015": Row("twilio", [twilio(400, 63015)], "FAILED", 1, "twilio_63015"),
    "twilio-unlisted-400": Row("twilio", [twilio(400, 99_999)], "FAILED", 1, "twilio_99999"),
    # Rejections that a second, changed message can answer.
    "telegram-markup": Row("markup", [telegram(400, "Bad Request: can't parse entities: x")], "SENT", 2),
    "telegram-reply-is-gone": Row(
        "reply", [telegram(400, "Bad Request: message to be replied not found")], "SENT", 2
    ),
    "telegram-migrated": Row(
        "group",
        [
            telegram(
                400,
                "Bad Request: group chat was upgraded to a supergroup chat",
                migrate_to_chat_id=-100_123,
            )
        ],
        "SENT",
        2,
    ),
    "telegram-reply-and-migrated": Row(
        "reply",
        [
            telegram(400, "Bad Request: message to be replied not found"),
            telegram(400, "Bad Request: group chat was upgraded", migrate_to_chat_id=-100_123),
        ],
        "SENT",
        3,
    ),
    "telegram-migrated-in-circles": Row(
        "group",
        [telegram(400, "Bad Request: x", migrate_to_chat_id=-number) for number in range(1, ALWAYS)],
        "FAILED",
        4,
        "telegram_400",
    ),
}


def tuned(settings: Settings, unknown: str) -> Settings:
    """Return settings with a short hold, and the policies that are the default or that the row names."""
    defaults = {"telegram": "hold", "whatsapp": "reconcile", "twilio": "reconcile"}
    changed = {
        section: getattr(settings, section).model_copy(
            update={"unknown": policy if unknown == "default" else unknown}
        )
        for section, policy in defaults.items()
    }
    delivery = settings.delivery.model_copy(update={"hold": 0.2, "attempts": 8})
    return settings.model_copy(update={**changed, "delivery": delivery})


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
async def test_each_answer_has_its_outcome(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers, row: Row
) -> None:
    """The state, the number of sends, and the code are those of the row."""
    providers.answers.extend(row.answers)
    channel, metadata = METADATA[row.channel]
    async with Desk(tuned(settings, row.unknown)):
        reply = response(channel, metadata or {"callbackUrl": f"{providers.url}/hook"})
        record = await ended(redis, await replies.commit(reply))
    assert (record.state, len(providers.requests), record.code) == (row.state, row.sends, row.code)
    assert not await redis.hexists(keys.CHANNEL_STATE + channel, "pausedAt")


STOPS = {
    "telegram-401": ("telegram", telegram(401, "Unauthorized"), "telegram_401"),
    "telegram-403-page": ("telegram", page(403), "telegram_403"),
    "telegram-404": ("telegram", telegram(404, "Not Found"), "telegram_404"),
    "meta-401-page": ("meta", page(401), "whatsapp_401"),
    "meta-403-unlisted": ("meta", meta(403, 999_999), "whatsapp_999999"),
    **{
        f"meta-{status}-{number}": ("meta", meta(status, number), f"whatsapp_{number}")
        for status, number in [
            *[(401, 0), (500, 3), (403, 10), (400, 33), (401, 190), (403, 200), (403, 299), (403, 368)],
            *[(403, 131005), (403, 131031), (400, 131037), (400, 131042), (500, 131045), (400, 133010)],
        ]
    },
    "twilio-403-unlisted": ("twilio", twilio(403, 99_999), "twilio_99999"),
    **{
        f"twilio-{status}-{number}": ("twilio", twilio(status, number), f"twilio_{number}")
        for status, number in [(401, 20003), (403, 20005), (400, 21910), (400, 63007), (400, 63112)]
    },
}


@pytest.mark.parametrize(("channel", "answer", "code"), STOPS.values(), ids=STOPS)
async def test_account_trouble_stops_the_channel(
    *,
    settings: Settings,
    redis: RedisClient,
    replies: Replies,
    providers: Providers,
    channel: str,
    answer: Answer,
    code: str,
) -> None:
    """The reply is held and not failed, the channel names the code, and nothing more is sent."""
    providers.answers.append(answer)
    name, metadata = METADATA[channel]
    async with Desk(tuned(settings, "default")):
        await replies.commit(response(name, metadata))
        await held(redis, name, 1)
        await replies.commit(response(name, metadata, conversation="c2"))
        await held(redis, name, 2)
    assert await redis.hget(keys.CHANNEL_STATE + name, "reason") == code
    assert len(providers.requests) == 1


class Limit(NamedTuple):
    """An answer that closes a rate: the kind of the bucket, the seconds for which nothing leaves, and the code."""

    channel: str
    answer: Answer
    closes: str
    seconds: float
    code: str


LIMITS = {
    "telegram-private": Limit("telegram", telegram(429, "x", retry_after=10_072), "bot", 10_071, "telegram_429"),
    "telegram-group": Limit("group", telegram(429, "x", retry_after=35), "chat", 34, "telegram_429"),
    "telegram-week": Limit("group", telegram(429, "x", retry_after=700_000), "chat", 86_399, "telegram_429"),
    "telegram-page": Limit("telegram", page(429, Retry_After="7200"), "bot", 7199, "telegram_429"),
    "meta-130429": Limit("meta", meta(429, 130429), "number", 0.9, "whatsapp_130429"),
    "meta-131056": Limit("meta", meta(400, 131056), "pair", 3.9, "whatsapp_131056"),
    "meta-asks": Limit(
        "meta",
        Raw(429, '{"error": {"code": 130429}}', JSON | {"Retry-After": "7200"}),
        "number",
        7199,
        "whatsapp_130429",
    ),
    "meta-unlisted": Limit("meta", page(429, Retry_After="60"), "number", 59, "whatsapp_429"),
    "twilio-20429": Limit("twilio", twilio(429, 20429), "number", 0.9, "twilio_20429"),
    "twilio-63018": Limit("twilio", twilio(400, 63018), "number", 3.9, "twilio_63018"),
    "twilio-unlisted": Limit("twilio", page(429, Retry_After="60"), "number", 59, "twilio_429"),
    "callback-429": Limit("callback", page(429, Retry_After="7200"), "", 7199, "callback_429"),
    "meta-503": Limit("meta", page(503, Retry_After="7200"), "", 7199, "whatsapp_503"),
    "twilio-503": Limit("twilio", page(503, Retry_After="7200"), "", 7199, "twilio_503"),
    "telegram-502": Limit("telegram", page(502, Retry_After="7200"), "", 7199, "telegram_502"),
}
BUCKET_PREFIX = {
    "bot": "telegram:bot:",
    "chat": "telegram:chat:",
    "number": ("whatsapp:cloud:", "whatsapp:twilio:"),
    "pair": "whatsapp:pair:",
}


@pytest.mark.parametrize("row", LIMITS.values(), ids=LIMITS)
async def test_narrowest_rate_is_closed_for_as_long_as_the_provider_asks(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers, row: Limit
) -> None:
    """Only the named bucket is closed, and the reply waits as long, which is at most a day."""
    providers.answers.append(row.answer)
    channel, metadata = METADATA[row.channel]
    async with Desk(tuned(settings, "default")):
        reply = response(channel, metadata or {"callbackUrl": f"{providers.url}/hook"})
        await replies.commit(reply)

        async def waits() -> bool:
            return await redis.hget(keys.DELIVERY + reply.message_id, "code") == row.code

        await until(waits, "the reply to wait")
        seconds, microseconds = await redis.time()
        now = int(seconds) * 1000 + int(microseconds) / 1000
        due = float(await redis.zscore(keys.POSTPONED, reply.message_id) or 0)
    assert due - now > row.seconds * 1000 - 5000
    created = float(await redis.hget(keys.DELIVERY + reply.message_id, "createdAt") or 0)
    assert due - created >= row.seconds * 1000
    assert due - created <= 86_460_000
    closed = set()
    for kind, prefix in BUCKET_PREFIX.items():
        async for key in redis.scan_iter(f"{keys.BUCKET}*"):
            full_at = float(await redis.get(key) or 0)
            if key.removeprefix(keys.BUCKET).startswith(prefix) and full_at - created >= row.seconds * 1000:
                closed.add(kind)
    assert closed - {"pair", "chat"} | closed & {row.closes} == ({row.closes} if row.closes else set())
    assert len(providers.requests) == 1


async def test_429_of_a_group_leaves_the_other_chats_alone(
    settings: Settings, redis: RedisClient, replies: Replies, providers: Providers
) -> None:
    """While a group waits, a private chat of the same bot is answered; three groups at once close the bot."""
    providers.answers.append(telegram(429, "x", retry_after=600))
    async with Desk(settings):
        group = await replies.commit(response(Channel.TELEGRAM, {"chatId": -1}, conversation="g1"))
        await until(lambda: providers.requests, "the rejection")
        private = await replies.commit(response(Channel.TELEGRAM, {"chatId": 42}, conversation="p1"))
        assert (await ended(redis, private)).state == "SENT"
        providers.answers.extend([telegram(429, "x", retry_after=600)] * 2)
        for number in (2, 3):
            await replies.commit(response(Channel.TELEGRAM, {"chatId": -number}, conversation=f"g{number}"))
        await until(lambda: len(providers.requests) == 4, "the other rejections")

        async def all_wait() -> bool:
            return int(await redis.zcard(keys.POSTPONED)) == 3

        await until(all_wait, "the three groups to wait")
        await replies.commit(response(Channel.TELEGRAM, {"chatId": 43}, conversation="p2"))

        async def waits() -> bool:
            return int(await redis.zcard(keys.POSTPONED)) == 4

        await until(waits, "the private chat to wait for the bot")
    assert len(providers.requests) == 4
    assert await redis.zscore(keys.POSTPONED, group.message_id)


MOMENTS = {
    "line break in the token": ({"token": "meta\ntoken"}, "request_invalid", "held"),
    "nobody listens": ({"base_url": "http://127.0.0.1:9"}, "provider_unreachable", "FAILED"),
    "no such host": ({"base_url": "http://nowhere.invalid"}, "provider_unreachable", "FAILED"),
}


@pytest.mark.parametrize(("settings_of_meta", "code", "state"), MOMENTS.values(), ids=MOMENTS)
async def test_fault_before_the_first_byte_sends_nothing(
    *,
    settings: Settings,
    redis: RedisClient,
    replies: Replies,
    providers: Providers,
    settings_of_meta: dict[str, Any],
    code: str,
    state: str,
) -> None:
    """The reply is never UNKNOWN: it is tried again and then FAILED, or held if a setting is at fault."""
    whatsapp = settings.whatsapp.model_validate({**settings.whatsapp.model_dump(), **settings_of_meta})
    async with Desk(settings.model_copy(update={"whatsapp": whatsapp})):
        reply = await replies.commit(response(*METADATA["meta"]))
        if state == "held":
            await held(redis, Channel.WHATSAPP, 1)
            assert await redis.hget(keys.CHANNEL_STATE + "whatsapp", "reason") == code
        else:
            record = await ended(redis, reply)
            assert (record.state, record.code, record.resends) == (state, code, 0)
    assert providers.requests == []
