"""`POST /api/messages` and `GET /api/messages/{id}/status`, to the letter of the contract."""

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from msgctl.agents.agents import Agent, Agents
from msgctl.config.settings import Settings
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.gateway_clients import Client, Pipeline
from tools.support.daemons import PATIENCE

UUID_LENGTH = 36
ABSENT = "00000000-0000-4000-8000-000000000000"


async def test_message_is_accepted(client: Client, agent: Agent, redis: RedisClient) -> None:
    """The 202 has the API's fields and texts, and the job is in Redis by then."""
    answer = await client.post(
        {
            "agentId": agent.id,
            "message": "Olá, como posso ajudar?",
            "conversationId": "conv-1",
            "channel": "web",
            "channelMetadata": {"websocketId": "ws-123"},
            "priority": 3,
        }
    )
    assert answer.status == 202
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    message_id = answer.json["data"]["messageId"]
    assert str(uuid.UUID(message_id)) == message_id
    assert answer.json == {
        "success": True,
        "message": "Mensagem recebida e em processamento",
        "data": {
            "messageId": message_id,
            "conversationId": "conv-1",
            "jobId": message_id,
            "status": "processing",
            "estimatedTime": "5-30 segundos",
        },
    }
    assert await redis.lrange(keys.RQ_QUEUE + "messages:3", 0, -1) == [message_id]


async def test_optional_fields_get_defaults(client: Client, agent: Agent, redis: RedisClient) -> None:
    """With agent and message alone: a new conversation, channel web, priority 5."""
    answer = await client.post({"agentId": agent.id.upper(), "message": "oi"})
    data = answer.json["data"]
    assert len(data["conversationId"]) == len(data["messageId"]) == UUID_LENGTH
    stored = await redis.hgetall(keys.job_key(data["messageId"]))
    assert stored["origin"] == "messages:5"
    assert stored[keys.FIELD_CHANNEL] == "web"


async def test_repeated_message_id_gets_the_same_bytes(client: Client, agent: Agent, redis: RedisClient) -> None:
    """The same id and body: the same 202, byte for byte, even at once, and one job."""
    body = {"agentId": agent.id, "message": "oi", "messageId": "m-1"}
    answers = await asyncio.gather(*(client.post(body) for _ in range(8)))
    assert {(answer.status, answer.body) for answer in answers} == {(202, answers[0].body)}
    assert await redis.llen(keys.RQ_QUEUE + "messages:5") == 1


async def test_repeated_idempotency_key_gets_the_same_bytes(
    client: Client, client_of: Callable[[str], Client], agent: Agent
) -> None:
    """The same key, user and body: the same 202; another body: 409; another user's same key: no matter."""
    body = {"agentId": agent.id, "message": "oi"}
    key = {"Idempotency-Key": "order:" + "k" * 249}
    first, second = await client.post(body, key), await client.post(body, key)
    assert (first.status, first.body) == (second.status, second.body)
    other = await client.post({**body, "message": "tchau"}, key)
    assert (other.status, other.code) == (409, "conflict")
    assert (await client_of("eve").post(body, key)).status == 404  # the agent is not hers; the key is not at issue


async def test_order_of_fields_does_not_change_the_body(client: Client, agent: Agent) -> None:
    """The same JSON written in another order is the same body, within `channelMetadata` too."""
    body = {"messageId": "m-1", "channelMetadata": {"a": {"x": 1, "y": 2}, "b": 2}}
    first = await client.post({"agentId": agent.id, "message": "oi", **body})
    body["channelMetadata"] = {"b": 2, "a": {"y": 2, "x": 1}}
    second = await client.post({**body, "message": "oi", "agentId": agent.id})
    assert (second.status, second.body) == (202, first.body)


async def test_other_body_with_the_same_id_is_a_conflict(client: Client, agent: Agent) -> None:
    """Same `messageId`, other text: 409 and no second job."""
    body = {"agentId": agent.id, "message": "oi", "messageId": "m-1"}
    assert (await client.post(body)).status == 202
    answer = await client.post({**body, "message": "tchau"})
    assert (answer.status, answer.code) == (409, "conflict")


def bad_bodies() -> dict[str, tuple[int, str, str]]:
    """Bodies that are refused: the body, the status, and the field that the refusal names."""
    agent = f'"agentId":"{ABSENT}"'
    good = agent + ',"message":"oi"'
    return {
        "": (400, "", "empty"),
        " ": (400, "", "white space"),
        "{": (400, "", "half an object"),
        "{" + good: (400, "", "cut off"),
        "{" + good + "}}": (400, "", "too much"),
        "{'agentId':1}": (400, "", "single quotes"),
        "{" + good + ',"channelMetadata":{"a":' + "[" * 5000 + "]" * 5000 + "}}": (400, "", "too deep"),
        "{" + agent + ',"message":"\\ud800"}': (400, "", "lone surrogate"),
        "{" + agent + ',"message":"\x00"}': (400, "", "control character"),
        "{" + good + ',"priority":NaN}': (400, "", "NaN"),
        "null": (422, "", "null"),
        "[]": (422, "", "list"),
        '"text"': (422, "", "text"),
        "42": (422, "", "number"),
        "{}": (422, "agentId", "nothing"),
        "{" + agent + "}": (422, "message", "no message"),
        '{"message":"oi"}': (422, "agentId", "no agent"),
        '{"agentId":"seven","message":"oi"}': (422, "agentId", "no UUID"),
        '{"agentId":7,"message":"oi"}': (422, "agentId", "a number as agent"),
        '{"agentId":"' + ABSENT + '\\n","message":"oi"}': (422, "agentId", "a line after the UUID"),
        "{" + agent + ',"message":""}': (422, "message", "empty message"),
        "{" + agent + ',"message":7}': (422, "message", "a number as message"),
        "{" + agent + ',"message":null}': (422, "message", "null as message"),
        "{" + agent + ',"message":"' + "a" * 8001 + '"}': (422, "message", "8001 characters"),
        "{" + good + ',"priority":0}': (422, "priority", "priority 0"),
        "{" + good + ',"priority":11}': (422, "priority", "priority 11"),
        "{" + good + ',"priority":"5"}': (422, "priority", "priority as text"),
        "{" + good + ',"priority":true}': (422, "priority", "priority true"),
        "{" + good + ',"priority":5.5}': (422, "priority", "priority 5.5"),
        "{" + good + ',"priority":null}': (422, "priority", "priority null"),
        "{" + good + ',"channel":"fax"}': (422, "channel", "unknown channel"),
        "{" + good + ',"channel":""}': (422, "channel", "empty channel"),
        "{" + good + ',"channelMetadata":[]}': (422, "channelMetadata", "metadata as a list"),
        "{" + good + ',"channelMetadata":{"a":"' + "x" * 4096 + '"}}': (
            422,
            "channelMetadata",
            "metadata of 4 KiB",
        ),
        "{" + good + ',"conversationId":""}': (422, "conversationId", "empty conversation"),
        "{" + good + ',"conversationId":"a b"}': (422, "conversationId", "a space"),
        "{" + good + ',"conversationId":"a:b"}': (422, "conversationId", "a colon"),
        "{" + good + ',"conversationId":"c\\n"}': (422, "conversationId", "a line after it"),
        "{" + good + ',"conversationId":"' + "c" * 65 + '"}': (422, "conversationId", "65 characters"),
        "{" + good + ',"messageId":"ç"}': (422, "messageId", "not ASCII"),
        "{" + good + ',"messageId":7}': (422, "messageId", "a number as id"),
        "{" + good + ',"userId":"eve"}': (422, "userId", "a user of one's own choice"),
        "{" + good + ',"agentID":"x"}': (422, "agentID", "a field with a typing error"),
    }


async def test_invalid_body_is_refused_with_its_field(client: Client, redis: RedisClient) -> None:
    """Each malformed body gets its status and, where a field is at fault, that field's name; nothing is stored."""
    for body, (status, field, name) in bad_bodies().items():
        answer = await client.post(body.encode())
        assert (answer.status, answer.code) == (status, "bad_json" if status == 400 else "validation_error"), name
        if status == 422:
            (detail,) = answer.json["error"]["details"]
            assert detail["field"] == field, name
            assert detail["problem"], name
    assert not await redis.keys("rq:*")


async def test_invalid_utf8_is_refused(client: Client) -> None:
    """Invalid UTF-8 is no JSON."""
    answer = await client.post(b'{"agentId":"' + ABSENT.encode() + b'","message":"\xff\xfe"}')
    assert (answer.status, answer.code) == (400, "bad_json")


async def test_limits_are_inclusive(client: Client, agent: Agent) -> None:
    """8000 characters beyond the BMP, 64-character ids, priorities 1 and 10 and 4 KiB of metadata are accepted."""
    for priority in (1, 10):
        answer = await client.post(
            {
                "agentId": agent.id,
                "message": "😀" * 8000,
                "conversationId": f"{priority}-" + "c" * 60,
                "messageId": f"{priority:02}" + "m" * 62,
                "priority": priority,
                "channelMetadata": {"a": "x" * 4088},
            }
        )
        assert answer.status == 202


@pytest.mark.parametrize("key", ["", " ", "a b", "k" * 256, "chave-ç", "tab\there"])
async def test_invalid_idempotency_key_is_refused(key: str, client: Client, agent: Agent) -> None:
    """The key is 1 to 255 visible ASCII characters."""
    answer = await client.post({"agentId": agent.id, "message": "oi"}, {"Idempotency-Key": key})
    assert (answer.status, answer.code) == (422, "validation_error")
    assert answer.json["error"]["details"][0]["field"] == "Idempotency-Key"


@pytest.mark.parametrize("media", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""])
async def test_other_content_type_is_refused(media: str, client: Client) -> None:
    """Only application/json is read."""
    answer = await client.post(b"{}", {"Content-Type": media})
    assert (answer.status, answer.code) == (415, "unsupported_media_type")


async def test_compressed_body_is_refused(client: Client) -> None:
    """No decompression, hence no bomb."""
    answer = await client.post(b"{}", {"Content-Encoding": "gzip"})
    assert (answer.status, answer.code) == (415, "unsupported_media_type")


async def test_json_with_a_charset_is_accepted(client: Client, agent: Agent) -> None:
    """Parameters of the content type do not matter."""
    body = msgspec.json.encode({"agentId": agent.id, "message": "oi"})
    assert (await client.post(body, {"Content-Type": "Application/JSON; charset=UTF-8"})).status == 202


async def test_body_with_too_large_content_length_is_refused(client: Client, settings: Settings) -> None:
    """One byte over the limit is 413, the limit itself is read."""
    limit = settings.gateway.max_body
    assert (await client.post(b" " * limit)).status == 400
    answer = await client.post(b" " * (limit + 1))
    assert (answer.status, answer.code) == (413, "body_too_large")


async def test_body_that_grows_too_large_is_refused_while_read(client: Client, gateway: str) -> None:
    """Without a Content-Length the bytes are counted, and the refusal comes before the end of the body."""
    host, port = gateway.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = (
        f"POST /api/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {client.token}\r\n"
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    writer.write(head.encode() + b"20000\r\n" + b" " * 0x20000 + b"\r\n")  # and no last chunk
    line = await asyncio.wait_for(reader.readline(), PATIENCE)
    assert line.startswith(b"HTTP/1.1 413")
    writer.close()
    await writer.wait_closed()


async def test_client_that_disconnects_in_its_body_has_no_effect(
    client: Client, gateway: str, agent: Agent
) -> None:
    """Half a request and a hang-up: the next client is served."""
    host, port = gateway.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    head = (
        f"POST /api/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {client.token}\r\n"
        'Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"agentId"'
    )
    writer.write(head.encode())
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert (await client.post({"agentId": agent.id, "message": "oi"})).status == 202


async def test_status_follows_a_message(client: Client, agent: Agent, pipeline: Pipeline) -> None:
    """`waiting`, `active` and `completed`, with the fields of the contract and a `finishedOn` in milliseconds."""
    message_id = (await client.post({"agentId": agent.id, "message": "oi"})).json["data"]["messageId"]
    path = f"/api/messages/{message_id}/status"
    waiting = await client.get(path)
    assert waiting.status == 200
    assert waiting.json == {
        "success": True,
        "data": {"messageId": message_id, "state": "waiting", "progress": 0, "finishedOn": None, "attempts": 0},
    }
    claimed = await pipeline.claim()
    assert (await client.get(path)).json["data"]["state"] == "active"
    await pipeline.answer(claimed=claimed)
    data = (await client.get(path)).json["data"]
    assert (data["state"], data["progress"], data["attempts"]) == ("completed", 100, 1)
    assert data["finishedOn"] > 1_600_000_000_000


async def test_status_names_the_error_of_a_failed_message(
    client: Client, agent: Agent, pipeline: Pipeline
) -> None:
    """A dead letter shows its error's class and text."""
    message_id = (await client.post({"agentId": agent.id, "message": "oi"})).json["data"]["messageId"]
    await pipeline.fail()
    data = (await client.get(f"/api/messages/{message_id}/status")).json["data"]
    assert data["state"] == "failed"
    assert data["error"] == {"class": "final", "code": "n8n_rejected", "text": "n8n answered 400."}


async def test_message_of_another_user_does_not_exist(
    client: Client, client_of: Callable[[str], Client], agent: Agent
) -> None:
    """Agent, conversation and message of another user: the very bytes of what does not exist."""
    mine = {"agentId": agent.id, "message": "oi", "conversationId": "c", "messageId": "m"}
    assert (await client.post(mine)).status == 202
    eve = client_of("eve")
    others = [await eve.post({"agentId": agent.id, "message": "oi"}), await eve.get("/api/messages/m/status")]
    absent = [
        await eve.post({"agentId": ABSENT, "message": "oi"}),
        await eve.get("/api/messages/none/status"),
        await eve.get("/api/messages/" + "x" * 65 + "/status"),
        await eve.get("/api/messages/%00/status"),
    ]
    assert {(answer.status, answer.code, answer.body) for answer in others + absent} == {
        (404, "not_found", absent[0].body)
    }


async def test_conversation_of_another_user_does_not_exist(
    client: Client, client_of: Callable[[str], Client], agent: Agent, settings: Settings
) -> None:
    """A conversation belongs to who began it; to others with agents of their own it does not exist."""
    async with Agents(settings) as agents:
        hers = await agents.add(user_id="eve", name="Eve's agent", webhook_path="chat")
    assert (await client.post({"agentId": agent.id, "message": "oi", "conversationId": "c"})).status == 202
    answer = await client_of("eve").post({"agentId": hers.id, "message": "oi", "conversationId": "c"})
    assert (answer.status, answer.code) == (404, "not_found")


async def test_full_conversation_sends_retry_after(
    settings: Settings, redis: RedisClient, client: Client, agent: Agent
) -> None:
    """More waiting messages than a conversation may have: 429 with Retry-After."""
    body: dict[str, Any] = {"agentId": agent.id, "message": "oi", "conversationId": "c"}
    await redis.rpush(keys.MAILBOX + "c", *map(str, range(settings.history.max_mailbox)))
    answer = await client.post(body)
    assert (answer.status, answer.code) == (429, "too_many_requests")
    assert int(answer.headers["retry-after"]) >= 1
