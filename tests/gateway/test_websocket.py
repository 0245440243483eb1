"""`/ws/chat` over real sockets, to the letter of the contract."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import aiohttp
import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from daemons.gateway.app import serve
from daemons.gateway.ws import connection
from msgctl.agents.agents import Agent, Agents
from msgctl.auth import tokens
from msgctl.config.settings import Settings
from msgctl.domain.messages import Channel, Reply, Response
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.gateway_clients import Chat, Client, Pipeline, running
from tools.support.daemons import until


async def test_dialogue_of_the_contract_works(client: Client, agent: Agent, pipeline: Pipeline) -> None:
    """`connected`, then for a `message`: `queued`, `processing`, and the reply, each as the API promises."""
    async with pipeline.delivering(), client.socket() as chat:
        assert (await chat.hear("connected")).keys() == {"socketId"}
        await chat.say("message", agentId=agent.id, content="Olá, como posso ajudar?")
        assert await chat.hear("queued") == {"message": "Mensagem recebida, processando..."}
        processing = await chat.hear("processing")
        assert processing == {
            "conversationId": processing["conversationId"],
            "messageId": processing["messageId"],
            "jobId": processing["messageId"],
            "status": "processing",
        }
        claimed = await pipeline.answer("Olá! Como posso ajudar você hoje?")
        assert claimed.message.message == "Olá, como posso ajudar?"
        assert await chat.hear("message") == {
            "messageId": processing["messageId"],
            "conversationId": processing["conversationId"],
            "message": "Olá! Como posso ajudar você hoje?",
            "timestamp": "2026-02-02T10:00:05.000Z",
            "metadata": {
                "model": "gpt-4o-mini",
                "tokensUsed": 120,
                "processingTime": 2500,
                "finishReason": "stop",
            },
            "seq": 1,
        }


async def test_failed_message_is_notified(client: Client, agent: Agent, pipeline: Pipeline) -> None:
    """A dead letter is an `error` frame with the message's id."""
    async with pipeline.delivering(), client.socket() as chat:
        processing = await start(chat, agent)
        await pipeline.fail()
        error = await chat.hear("error")
        assert (error["code"], error["messageId"]) == ("n8n_rejected", processing["messageId"])


async def start(chat: Chat, agent: Agent, **data: object) -> Any:
    """Open the dialogue with a message; the data of its `processing` frame."""
    await chat.hear("connected")
    return await talk(chat, agent, **data)


async def talk(chat: Chat, agent: Agent, **data: object) -> Any:
    """Send a message; the data of its `processing` frame."""
    await chat.say("message", agentId=agent.id, content="oi", **data)
    await chat.hear("queued")
    return await chat.hear("processing")


async def test_subprotocol_can_contain_a_token(client: Client) -> None:
    """`msgctl.v1, bearer.JWT` lets in, and only `msgctl.v1` is echoed."""
    async with client.socket("", subprotocols=["msgctl.v1", f"bearer.{client.token}"]) as chat:
        await chat.hear("connected")
        assert chat.socket.subprotocol == "msgctl.v1"


async def test_invalid_credential_is_4401(client: Client) -> None:
    """No token, a bad one, another's name for it, two at once: let in, told 4401, and nothing else ever."""
    queries = [
        "",
        "token=",
        "token=x.y.z",
        "ticket=",
        "ticket=nonsense",
        f"token={client.token}&token={client.token}",
    ]
    queries += [f"token={client.token}&ticket=x", f"TOKEN={client.token}", f"token={client.token}x", "%ff=%00"]
    for query in queries:
        async with client.socket(query) as chat:
            assert (await chat.closed())[0] == 4401, query
            with pytest.raises(ConnectionClosed):
                await chat.hear()
    bad: Any = ["msgctl.v1", "bearer.x.y.z"]
    async with client.socket("", subprotocols=bad) as chat:
        assert chat.socket.subprotocol == "msgctl.v1"  # else a browser would hide the code behind its own 1006
        assert (await chat.closed())[0] == 4401


async def test_socket_ends_with_its_token(client: Client, settings: Settings) -> None:
    """4401 in the second that the token expires, leeway included, and not before."""
    strict = settings.model_copy(update={"auth": settings.auth.model_copy(update={"leeway": 1.0})})
    async with running(serve, strict) as life, aiohttp.ClientSession() as http:
        mine = Client(life.status.result().removeprefix("listening at "), strict, "ana", http)
        token, issued = tokens.issue(strict, "ana", 1), int(time.time())
        async with mine.socket(f"token={token}") as chat:
            await chat.hear("connected")
            assert await chat.closed() == (4401, "token expired")
            assert time.time() >= issued + 2 - 0.1


async def test_other_path_is_no_websocket(client: Client) -> None:
    """A handshake elsewhere is refused with 404 in the one shape."""
    with pytest.raises(InvalidStatus) as refusal:
        async with connect(f"{client.url.replace('http', 'ws')}/ws/other?token={client.token}"):
            pass
    assert refusal.value.response.status_code == 404
    assert msgspec.json.decode(refusal.value.response.body or b"")["error"]["code"] == "not_found"


async def test_invalid_frames_leave_the_socket_open(client: Client, agent: Agent) -> None:
    """Text that is no frame, binary frames, unknown types: each is answered, and then a good frame works."""
    async with client.socket() as chat:
        await chat.hear("connected")
        for frame in ("x", "[]", '{"type":"shout"}', b'{"type":"ping"}', b"\xff", "", "{" * 60_000):
            await chat.socket.send(frame)
            assert (await chat.hear("error"))["code"] in {"bad_json", "validation_error"}
        await chat.say("ping")
        assert await chat.hear("pong") == {}
        await talk(chat, agent)


async def test_refused_message_is_an_error_frame(
    client: Client, client_of: Callable[[str], Client], agent: Agent, settings: Settings
) -> None:
    """Another's agent, another's conversation, an id used for something else: `error`, and the socket stays."""
    async with Agents(settings) as agents:
        hers = await agents.add(user_id="eve", name="Eve's agent", webhook_path="chat")
    async with client.socket() as chat:
        await start(chat, agent, messageId="m", conversationId="c")
        await chat.say("message", agentId=agent.id, content="tchau", messageId="m")
        assert await chat.hear("error") == {
            "code": "conflict",
            "message": "Este identificador já foi usado para outra mensagem.",
            "messageId": "m",
        }
    async with client_of("eve").socket() as chat:
        await chat.hear("connected")
        refusals = []
        for agent_id, conversation in ((agent.id, "own"), (hers.id[:-4] + "0000", "own"), (hers.id, "c")):
            await chat.say("message", agentId=agent_id, content="oi", conversationId=conversation)
            refusals.append(await chat.hear("error"))
        await chat.say("resume", conversationId="c", afterSeq=0)
        refusals.append(await chat.hear("error"))
        assert refusals == [{"code": "not_found", "message": "Não encontrado."}] * 4


async def test_other_user_receives_nothing(
    client: Client, client_of: Callable[[str], Client], agent: Agent, pipeline: Pipeline
) -> None:
    """A socket named by another user's message, or that asked for another's conversation, never hears of it."""
    eve = client_of("eve")
    async with (
        pipeline.delivering(),
        client.socket() as mine,
        eve.socket("token=" + eve.token + "&progress=1") as hers,
    ):
        her_socket = (await hers.hear("connected"))["socketId"]
        await hers.say("resume", conversationId="c", afterSeq=0)
        assert await hers.hear("resumed") == {"conversationId": "c", "recovered": True}
        named = {"agentId": agent.id, "message": "oi", "channelMetadata": {"websocketId": her_socket}}
        assert (await client.post({**named, "conversationId": "c"})).status == 202
        await start(mine, agent, conversationId="c")
        for _ in range(2):
            await pipeline.answer()
            await mine.hear("message")
        await hers.say("ping")
        await hers.hear("pong")  # and nothing before it


async def test_rest_message_is_answered_on_its_socket(client: Client, agent: Agent, pipeline: Pipeline) -> None:
    """`channelMetadata.websocketId` takes a response to that socket of the same user, and to that one alone."""
    async with pipeline.delivering(), client.socket() as named, client.socket() as other:
        socket_id = (await named.hear("connected"))["socketId"]
        await other.hear("connected")
        body = {"agentId": agent.id, "message": "oi", "channelMetadata": {"websocketId": socket_id}}
        assert (await client.post(body)).status == 202
        await pipeline.answer("by name")
        assert (await named.hear("message"))["message"] == "by name"
        await other.say("ping")
        await other.hear("pong")


async def test_conversation_continues_after_a_reconnect(client: Client, agent: Agent, pipeline: Pipeline) -> None:
    """What came while nobody listened is resumed in order, without what is known, and live replies follow."""
    async with pipeline.delivering():
        async with client.socket() as chat:
            await start(chat, agent, conversationId="c")
            await pipeline.answer("1")
            assert (await chat.hear("message"))["seq"] == 1
            for _ in range(4):
                await talk(chat, agent, conversationId="c")
        for number in range(2, 6):
            await pipeline.answer(str(number))
        async with client.socket() as chat:
            await chat.hear("connected")
            await chat.say("resume", conversationId="c", afterSeq=1)
            replies = [await chat.hear("message") for _ in range(4)]
            assert [(reply["seq"], reply["message"]) for reply in replies] == [(n, str(n)) for n in range(2, 6)]
            assert await chat.hear("resumed") == {"conversationId": "c", "recovered": True}
            await chat.say("resume", conversationId="c", afterSeq=0)
            assert (await chat.hear("message"))["seq"] == 1  # the rest this socket has been shown
            await chat.hear("resumed")
            assert (await client.post({"agentId": agent.id, "message": "oi", "conversationId": "c"})).status == 202
            await pipeline.answer("6")
            assert (await chat.hear("message"))["seq"] == 6


async def test_incomplete_history_is_reported(settings: Settings, redis: RedisClient, agent: Agent) -> None:
    """With fewer replies kept than were missed: those that are left, and `recovered: false`."""
    history = settings.history.model_copy(update={"replies": 2})
    short = settings.model_copy(update={"history": history})
    pipeline = Pipeline(redis, short)
    async with running(serve, short) as life, aiohttp.ClientSession() as http, pipeline.delivering():
        client = Client(life.status.result().removeprefix("listening at "), short, "ana", http)
        for number in range(1, 6):
            await client.post({"agentId": agent.id, "message": "oi", "conversationId": "c"})
            await pipeline.answer(str(number))
        async with client.socket() as chat:
            await chat.hear("connected")
            await chat.say("resume", conversationId="c", afterSeq=1)
            assert [(await chat.hear("message"))["seq"] for _ in range(2)] == [4, 5]
            assert await chat.hear("resumed") == {"conversationId": "c", "recovered": False}


async def test_joined_conversations_are_limited(
    client: Client, redis: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Naming one after the other costs no more than the newest of them; one that is named anew is new."""
    monkeypatch.setattr(connection, "MAX_JOINED_CONVERSATIONS", 3)
    async with client.socket() as chat:
        await chat.hear("connected")
        for name in ("c1", "c2", "c3", "c1", "c4", "c5"):
            await chat.say("resume", conversationId=name, afterSeq=0)
            await chat.hear("resumed")
        joined = [name for name in ("c1", "c2", "c3", "c4", "c5") if await redis.exists(keys.SOCKETS + name)]
    assert joined == ["c1", "c4", "c5"]


async def test_long_gap_is_resumed_completely(
    client: Client, agent: Agent, pipeline: Pipeline, settings: Settings, redis: RedisClient
) -> None:
    """A gap of many large replies, more than may wait for a slow client, comes whole and in order."""
    await client.post({"agentId": agent.id, "message": "oi", "conversationId": "c", "messageId": "m"})
    async with pipeline.delivering():
        await pipeline.answer("first")
    count = 2 * settings.gateway.max_queued_frames
    replies = {reply(number, "x" * 10_000): number for number in range(2, count + 2)}
    await redis.zadd(keys.REPLIES + "c", replies)
    async with client.socket() as chat:
        await chat.hear("connected")
        await chat.say("resume", conversationId="c", afterSeq=1)
        assert [(await chat.hear("message"))["seq"] for _ in range(count)] == list(range(2, count + 2))
        await chat.hear("resumed")


def reply(seq: int, text: str) -> str:
    """A kept reply of conversation `c`."""
    response = Response(
        message_id=f"m{seq}",
        conversation_id="c",
        agent_id="a",
        response=Reply(message=text),
        channel=Channel.WEB,
        timestamp="t",
        user_id="ana",
        seq=seq,
    )
    return response.to_json().decode()


async def test_progress_is_sent_only_on_request(client: Client, agent: Agent, pipeline: Pipeline) -> None:
    """`&progress=1` brings `progress` frames; another socket of the same user gets none."""
    channel = keys.PROGRESS_CHANNEL
    query = f"token={client.token}&progress=1"
    async with pipeline.delivering(), client.socket() as quiet:
        await quiet.hear("connected")
        assert await subscribers(pipeline.redis, channel) == 0
        async with client.socket(query) as curious:
            await curious.hear("connected")
            await until(lambda: heard(pipeline.redis, channel, 1), "the gateway to listen for progress")
            processing = await talk(curious, agent)
            await pipeline.answer()
            frames = [await curious.hear() for _ in range(3)]
            progress = [frame["data"] for frame in frames if frame["type"] == "progress"]
            assert progress == [{"messageId": processing["messageId"], "progress": done} for done in (80, 100)]
        await until(lambda: heard(pipeline.redis, channel, 0), "the gateway to stop listening")
        await quiet.say("ping")
        await quiet.hear("pong")


async def subscribers(redis: RedisClient, channel: str) -> int:
    """How many listen to a channel."""
    ((_, count),) = await redis.pubsub_numsub(channel)
    return int(count)


async def heard(redis: RedisClient, channel: str, count: int) -> bool:
    """Whether just so many listen to a channel."""
    return await subscribers(redis, channel) == count


async def test_too_big_frame_is_1009(client: Client, settings: Settings) -> None:
    """64 KiB are read; one byte more, or a megabyte, ends the socket with 1009."""
    limit = settings.gateway.max_body
    async with client.socket() as chat:
        await chat.hear("connected")
        await chat.socket.send(" " * limit)
        assert (await chat.hear("error"))["code"] == "bad_json"
        await chat.socket.send(" " * (limit + 1))
        assert (await chat.closed())[0] == 1009
    async with client.socket() as chat:
        await chat.hear("connected")
        await chat.socket.send("é" * (limit // 2 + 1))
        assert (await chat.closed())[0] == 1009
    async with client.socket() as chat:
        await chat.hear("connected")
        with suppress(ConnectionClosed):
            await chat.socket.send(" " * 1_000_000)
        assert (await chat.closed())[0] in {1009, 1006}  # 1006: it was cut off before it had read why


async def test_slow_reader_is_closed_while_others_continue(
    settings: Settings, redis: RedisClient, agent: Agent
) -> None:
    """A client that stops reading gets 4408 once its queue is full; its neighbour misses nothing."""
    tight = {"max_queued_frames": 16, "send_timeout": 1.0}
    gateway = settings.gateway.model_copy(update=tight)
    settings = settings.model_copy(update={"gateway": gateway})
    async with running(serve, settings) as life, aiohttp.ClientSession() as http:
        client = Client(life.status.result().removeprefix("listening at "), settings, "ana", http)
        async with client.socket() as neighbour, client.socket(max_queue=1) as slow:
            await neighbour.hear("connected")
            socket_id = (await slow.hear("connected"))["socketId"]
            inbox = keys.INBOX + str(await redis.hget(keys.SOCKET + socket_id, "gateway"))
            seq = 0
            while await redis.exists(keys.SOCKET + socket_id):
                seq += 1
                assert seq < 2000, "it should have been given up by now"
                frame = {"socket": socket_id, "conversation": "c", "seq": seq, "kind": "response"}
                await redis.xadd(inbox, {**frame, "body": reply(seq, "x" * 100_000)})  # type: ignore[dict-item]
                await neighbour.say("ping")
                await neighbour.hear("pong")
            with suppress(ConnectionClosed):
                while True:
                    await slow.hear("message")
            assert (await slow.closed())[0] == 4408


async def test_only_the_client_with_a_moved_reply_must_reconnect(client: Client, redis: RedisClient) -> None:
    """Its gateway was silent, and the reply went to another socket of the user; neighbours hear nothing of it."""
    async with client.socket() as neighbour, client.socket() as chat:
        socket_id = (await chat.hear("connected"))["socketId"]
        inbox = keys.INBOX + str(await redis.hget(keys.SOCKET + socket_id, "gateway"))
        frame = {"socket": socket_id, "conversation": "c", "seq": 1, "kind": "moved", "body": ""}
        await redis.xadd(inbox, frame)  # type: ignore[arg-type]
        code, reason = await chat.closed()
        assert (code, "resume" in reason) == (1001, True)
        await neighbour.hear("connected")
        await neighbour.say("ping")
        await neighbour.hear("pong")


async def test_clients_must_reconnect_after_lost_frames(client: Client, redis: RedisClient) -> None:
    """More came than wait for one gateway, and nobody knows whose it was: all are closed with a hint to resume."""
    async with client.socket() as chat:
        socket_id = (await chat.hear("connected"))["socketId"]
        inbox = keys.INBOX + str(await redis.hget(keys.SOCKET + socket_id, "gateway"))
        async with redis.pipeline(transaction=True) as pipeline:
            pipeline.xadd(inbox, {"never": "read"})
            pipeline.xtrim(inbox, maxlen=0, approximate=False)
            await pipeline.execute()
        code, reason = await chat.closed()
    assert (code, "resume" in reason) == (1001, True)
    async with client.socket() as chat:
        await chat.hear("connected")
        await chat.say("ping")
        await chat.hear("pong")
