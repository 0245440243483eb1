"""What belongs to somebody else does not exist: every route and frame, own, another's and absent."""

import statistics
import time
import uuid
from collections.abc import Callable

import pytest
from redis.asyncio import Redis

from msgctl.agents import Agent
from tests.gateway.clients import Answer, Client, Pipeline

ABSENT = "00000000-0000-4000-8000-000000000000"
ROUNDS = 60
Clients = Callable[[str], Client]


async def post_to_agent(client: Client, agent_id: str) -> Answer:
    """Write to an agent."""
    return await client.post({"agentId": agent_id, "message": "oi"})


@pytest.fixture
async def theirs(client_of: Clients, agent: Agent, pipeline: Pipeline) -> dict[str, str]:
    """What `ana` has: an agent, a conversation with a reply in it, and a message."""
    answer = await client_of("ana").post({"agentId": agent.id, "message": "oi", "conversationId": "anas"})
    await pipeline.answer("for ana's eyes")
    return {"agent": agent.id, "conversation": "anas", "message": answer.json["data"]["messageId"]}


async def test_agents_of_others_are_absent(client_of: Clients, theirs: dict[str, str]) -> None:
    """POST to the owner's agent is 202 for the owner; for another user it is the 404 of an agent that is none."""
    assert (await post_to_agent(client_of("ana"), theirs["agent"])).status == 202
    await assert_alike(lambda name: post_to_agent(client_of("eve"), name), theirs["agent"], ABSENT)


async def test_messages_of_others_are_absent(client_of: Clients, theirs: dict[str, str]) -> None:
    """GET of a status, likewise."""
    path = "/api/messages/{}/status".format
    assert (await client_of("ana").get(path(theirs["message"]))).status == 200
    await assert_alike(lambda name: client_of("eve").get(path(name)), theirs["message"], str(uuid.uuid4()))


async def test_conversations_of_others_are_absent(
    client_of: Clients, theirs: dict[str, str], redis: Redis
) -> None:
    """Neither a POST into a conversation nor its `resume` tells whose it is, and nothing is written into it."""
    before = await redis.keys("*anas*")
    for agent_id in (theirs["agent"], ABSENT):
        answer = await client_of("eve").post(
            {"agentId": agent_id, "message": "oi", "conversationId": theirs["conversation"]}
        )
        assert (answer.status, answer.code) == (404, "not_found")
    async with client_of("eve").socket() as chat:
        await chat.hear("connected")
        await chat.say("resume", conversationId=theirs["conversation"], afterSeq=0)
        refusal = await chat.hear("error")
        assert refusal["code"] == "not_found"
        await chat.say("message", agentId=theirs["agent"], content="oi", conversationId=theirs["conversation"])
        by_message = await chat.hear("error")
        await chat.say("message", agentId=ABSENT, content="oi", conversationId="eves")
        assert by_message == refusal == await chat.hear("error")
    assert set(await redis.keys("*anas*")) == set(before)


async def assert_alike(ask: Callable[[str], object], foreign: str, absent: str) -> None:
    """Both are one 404 to the byte, and neither takes markedly longer."""
    seconds: dict[str, list[float]] = {foreign: [], absent: []}
    answers: set[tuple[int, bytes, tuple[tuple[str, str], ...]]] = set()
    for _ in range(ROUNDS):
        for name, taken in seconds.items():  # in turn, so that a busy machine slows both
            begun = time.perf_counter()
            answer = await ask(name)  # type: ignore[misc]
            taken.append(time.perf_counter() - begun)
            assert isinstance(answer, Answer)
            headers = {key.lower(): value for key, value in answer.headers.items() if key.lower() != "date"}
            answers.add((answer.status, answer.body, tuple(sorted(headers.items()))))
    assert [status for status, _, _ in answers] == [404]
    one, other = (statistics.median(taken) for taken in seconds.values())
    assert max(one, other) < 3 * min(one, other) + 0.003
