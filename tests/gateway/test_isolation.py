"""What belongs to somebody else does not exist: every route and frame, own, another's and absent."""

import re
import statistics
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import NamedTuple, get_args

import msgspec
import pytest

from daemons.gateway.http.openapi import build_document
from daemons.gateway.ws.frames import client_frame_decoder
from msgctl.agents.agents import Agent, Agents
from msgctl.config.settings import Settings
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.gateway_clients import Chat, Client, Pipeline

ABSENT = "00000000-0000-4000-8000-000000000000"
ROUNDS = 30
Clients = Callable[[str], Client]
Said = tuple[int | str, bytes, tuple[tuple[str, str], ...]]
"""All that a client is told, but the time of day."""


class Things(NamedTuple):
    """What a user has, each by its id."""

    agent: str
    message: str
    conversation: str


class Case(NamedTuple):
    """A route or frame, and the kind of thing it names."""

    kind: str
    ask: Callable[[Client, str], Awaitable[Said]]
    own: int | str
    """How the owner is answered: a status, or the type of a frame."""


async def said_by_route(client: Client, method: str, path: str, body: object = None) -> Said:
    """Ask over HTTP."""
    data = None if body is None else msgspec.json.encode(body)
    answer = await client.request(method, path, data=data, headers={"Content-Type": "application/json"})
    headers = {key.lower(): value for key, value in answer.headers.items() if key.lower() != "date"}
    return answer.status, answer.body, tuple(sorted(headers.items()))


async def said_by_frame(client: Client, kind: str, **data: object) -> Said:
    """Ask over a socket of its own."""
    async with client.socket() as chat:
        await chat.hear("connected")
        return await ask_by_frame(chat, kind, **data)


async def ask_by_frame(chat: Chat, kind: str, **data: object) -> Said:
    """Ask over an open socket."""
    await chat.say(kind, **data)
    frame = await chat.hear()
    return frame["type"], msgspec.json.encode(frame), ()


CASES = {
    "POST /api/messages, an agent": Case(
        "agent", lambda client, name: said_by_route(client, "POST", "/api/messages", written(name)), 202
    ),
    "GET /api/messages/{id}/status": Case(
        "message", lambda client, name: said_by_route(client, "GET", f"/api/messages/{name}/status"), 200
    ),
    "frame message, an agent": Case(
        "agent", lambda client, name: said_by_frame(client, "message", agentId=name, content="oi"), "queued"
    ),
}
"""Where a thing is named that the gateway has made: another user's and none are answered alike."""
CHOSEN = {
    "POST /api/messages, a conversation": Case(
        "conversation",
        lambda client, name: said_by_route(client, "POST", "/api/messages", written(AGENTS[client.user_id], name)),
        202,
    ),
    "frame message, a conversation": Case(
        "conversation",
        lambda client, name: said_by_frame(
            client, "message", agentId=AGENTS[client.user_id], content="oi", conversationId=name
        ),
        "queued",
    ),
    "frame resume": Case(
        "conversation",
        lambda client, name: said_by_frame(client, "resume", conversationId=name, afterSeq=1),
        "resumed",
    ),
}
"""Where a client names a conversation, which an absent name begins: another user's is refused as an agent is that
does not exist, and nothing of it is told."""
NAMELESS = {
    "GET /api/messages/queue/stats",
    "GET /api/messages/queue/health",
    "POST /api/ws-ticket",
    "GET /ws/chat",
    "GET /healthz",
    "GET /readyz",
    "GET /openapi.json",
    "GET /docs",
    "frame ping",
}
"""What names nothing of any user."""
AGENTS: dict[str, str] = {}
"""Each user's own agent, for the requests that need one besides what they are about."""


def written(agent_id: str, conversation_id: str | None = None) -> dict[str, object]:
    """A message as a body."""
    named = {"conversationId": conversation_id} if conversation_id else {}
    return {"agentId": agent_id, "message": "oi", **named}


@pytest.fixture
async def theirs(client_of: Clients, agent: Agent, pipeline: Pipeline, settings: Settings) -> Things:
    """What `ana` has: an agent, a conversation with a reply in it, and a message; `eve` has an agent too."""
    async with Agents(settings) as agents:
        eves = await agents.add(user_id="eve", name="Eve's agent", webhook_path="chat")
    AGENTS.update(ana=agent.id, eve=eves.id)
    answer = await client_of("ana").post(written(agent.id, "anas"))
    await pipeline.answer("for ana's eyes")
    return Things(agent.id, answer.json["data"]["messageId"], "anas")


def test_isolation_covers_each_route_and_frame() -> None:
    """What the document and the frames' types list is in one of the tables above; a new route has to join them."""
    routes = {
        f"{method.upper()} {path}" for path, methods in build_document()["paths"].items() for method in methods
    }
    frames = {f"frame {member.__struct_config__.tag}" for member in get_args(client_frame_decoder.type)}
    seen = {re.sub(", .*", "", name) for name in (*CASES, *CHOSEN)} | NAMELESS
    assert seen == routes | frames


@pytest.mark.parametrize("name", CASES)
async def test_data_of_another_user_does_not_exist(name: str, client_of: Clients, theirs: Things) -> None:
    """The owner is served; for another user it is what does not exist, to the byte and in its time."""
    case = CASES[name]
    thing, missing = getattr(theirs, case.kind), ABSENT if case.kind == "agent" else str(uuid.uuid4())
    assert (await case.ask(client_of("ana"), thing))[0] == case.own
    foreign = await assert_alike(lambda asked: case.ask(client_of("eve"), asked), thing, missing)
    assert foreign[0] in {404, "error"}
    assert theirs.agent.encode() not in foreign[1]


@pytest.mark.parametrize("name", CHOSEN)
async def test_conversation_of_another_user_is_refused(
    name: str, client_of: Clients, theirs: Things, redis: RedisClient
) -> None:
    """The owner is served; another user hears what she hears of an absent agent, and nothing is written."""
    case, eve = CHOSEN[name], client_of("eve")
    assert (await case.ask(client_of("ana"), theirs.conversation))[0] == case.own
    before = set(await redis.keys("*anas*"))
    foreign = await case.ask(eve, theirs.conversation)
    as_route = isinstance(foreign[0], int)
    assert foreign == await CASES[f"{'POST /api/messages' if as_route else 'frame message'}, an agent"].ask(
        eve, ABSENT
    )
    assert set(await redis.keys("*anas*")) == before
    assert (await case.ask(eve, "eves"))[0] == case.own


async def test_refused_socket_has_not_joined_the_conversation(
    client_of: Clients, theirs: Things, redis: RedisClient
) -> None:
    """While her socket is open, nothing in Redis puts it among those of a conversation that is not hers."""
    async with client_of("eve").socket() as chat:
        await chat.hear("connected")
        for kind, data in (("resume", {"afterSeq": 0}), ("message", {"agentId": AGENTS["eve"], "content": "oi"})):
            await chat.say(kind, conversationId=theirs.conversation, **data)
            assert (await chat.hear("error"))["code"] == "not_found"
            assert not await redis.exists(keys.SOCKETS + theirs.conversation)


async def test_inactive_agent_does_not_exist(client_of: Clients, theirs: Things, settings: Settings) -> None:
    """Its own owner is told of an agent that is switched off what is told of one that is not there."""
    async with Agents(settings) as agents:
        await agents.set_active(theirs.agent, active=False)
    case, ana = CASES["POST /api/messages, an agent"], client_of("ana")
    assert await case.ask(ana, theirs.agent) == await case.ask(ana, ABSENT)


async def test_message_id_of_another_user_is_a_conflict(client_of: Clients, theirs: Things) -> None:
    """An id is the client's own choice: one that somebody has used is the 409 of one that one has used oneself."""
    eve = client_of("eve")
    foreign = await said_by_route(
        eve, "POST", "/api/messages", {**written(AGENTS["eve"]), "messageId": theirs.message}
    )
    await eve.post({**written(AGENTS["eve"]), "messageId": "eves"})
    own = await said_by_route(
        eve, "POST", "/api/messages", {**written(AGENTS["eve"]), "messageId": "eves", "priority": 1}
    )
    assert foreign == own
    assert own[0] == 409


async def test_socket_of_another_user_cannot_be_addressed(
    client_of: Clients, theirs: Things, pipeline: Pipeline, redis: RedisClient
) -> None:
    """A reply goes to a named socket of its own user; to another's or to none it does not, accepted alike."""
    ana, eve = client_of("ana"), client_of("eve")
    async with pipeline.delivering(), ana.socket() as anas, eve.socket() as eves:
        names = {
            "another's": (await anas.hear("connected"))["socketId"],
            "own": (await eves.hear("connected"))["socketId"],
        }
        for which, name in {**names, "absent": "ws-none"}.items():
            body = {**written(AGENTS["eve"]), "channelMetadata": {"websocketId": name}, "messageId": which[:3]}
            assert (await eve.post(body)).status == 202
            await pipeline.answer(which)
        assert (await eves.hear("message"))["message"] == "own"
        for chat in (anas, eves):  # behind what would have come
            await chat.say("ping")
            await chat.hear("pong")


async def test_progress_of_other_users_is_not_sent(client_of: Clients, theirs: Things, redis: RedisClient) -> None:
    """A socket that asked for progress hears of its own user's messages alone."""
    eve = client_of("eve")
    async with eve.socket(f"token={eve.token}&progress=1") as chat:
        await chat.hear("connected")
        while not (await redis.pubsub_numsub(keys.PROGRESS_CHANNEL))[0][1]:
            pass
        for user, progress in (("ana", 10), ("eve", 20)):
            note = {"messageId": "m", "userId": user, "progress": progress}
            await redis.publish(keys.PROGRESS_CHANNEL, msgspec.json.encode(note))
        assert (await chat.hear("progress"))["progress"] == 20


async def assert_alike(ask: Callable[[str], Awaitable[Said]], foreign: str, absent: str) -> Said:
    """Both are answered with the same, and neither takes markedly longer."""
    seconds: dict[str, list[float]] = {foreign: [], absent: []}
    answers: set[Said] = set()
    for _ in range(ROUNDS):
        for name, taken in seconds.items():  # in turn, so that a busy machine slows both
            begun = time.perf_counter()
            answers.add(await ask(name))
            taken.append(time.perf_counter() - begun)
    assert len(answers) == 1, answers
    one, other = (statistics.median(taken) for taken in seconds.values())
    assert max(one, other) < 3 * min(one, other) + 0.003
    return answers.pop()
