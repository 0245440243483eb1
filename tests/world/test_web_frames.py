"""A reply larger than the frame that a WebSocket client accepts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from msgctl.agents.agents import Agent
from msgctl.config.settings import Settings
from msgctl.storage.redis.client import RedisClient
from tests.support.gateway_clients import Client, Pipeline, gateways

MIB = 2**20
"""The largest frame that the Python client `websockets` accepts by default."""


@asynccontextmanager
async def asked(
    settings: Settings, redis: RedisClient, agent: Agent, replies: list[str]
) -> AsyncIterator[tuple[Client, list[Any]]]:
    """A client with a frame limit of 1 MiB that asked one question for each reply, and the frames that it got."""
    pipeline = Pipeline(redis, settings)
    async with gateways(settings) as [make], pipeline.delivering():
        client = make("ana")
        async with client.socket(max_size=MIB) as chat:
            await chat.hear("connected")
            frames = []
            for reply in replies:
                await chat.say("message", agentId=agent.id, content="?", conversationId="c")
                await chat.hear("queued")
                await chat.hear("processing")
                await pipeline.answer(reply)
                frames.append(await chat.hear())
            yield client, frames


def changed(settings: Settings, **sections: dict[str, Any]) -> Settings:
    """Return the settings with other values in some sections."""
    updates = {name: getattr(settings, name).model_copy(update=values) for name, values in sections.items()}
    return settings.model_copy(update=updates)


@pytest.mark.parametrize(
    "text",
    ["x" * 1_048_500, "palavra " * 200_000, '"\n' * 400_000, "é" * 600_000, "👩\u200d" * 150_000],
    ids=["just over", "words", "escapes", "two bytes", "joined"],
)
async def test_a_large_reply_is_cut_to_the_frame(
    settings: Settings, redis: RedisClient, agent: Agent, text: str
) -> None:
    """The socket stays open, the frame says that it was cut, and the next reply follows, live and by resume."""
    async with (
        asked(settings, redis, agent, ["one", text, "three"]) as (client, frames),
        client.socket(max_size=MIB) as again,
    ):
        await again.hear("connected")
        await again.say("resume", conversationId="c", afterSeq=0)
        resumed = [await again.hear() for _ in range(3)]
        assert (await again.hear("resumed"))["recovered"] is True
    assert frames == resumed
    assert {frame["type"] for frame in frames} == {"message"}
    live = [frame["data"] for frame in frames]
    assert [reply["seq"] for reply in live] == [1, 2, 3]
    assert [reply.get("truncated") for reply in live] == [None, True, None]
    cut = live[1]["message"]
    assert cut.endswith("\n\n[…]")
    assert text.startswith(cut.removesuffix("\n\n[…]"))
    assert len(cut.encode()) > MIB // 3


async def test_a_large_reply_can_be_refused(settings: Settings, redis: RedisClient, agent: Agent) -> None:
    """The client is told which reply it was, and by its number it can go on behind it."""
    settings = changed(settings, reply={"overflow": "refuse"})
    async with asked(settings, redis, agent, ["x" * MIB, "two"]) as (_, frames):
        assert [frame["type"] for frame in frames] == ["error", "message"]
    error, answer = (frame["data"] for frame in frames)
    assert answer["seq"] == 2
    assert (error["code"], error["seq"], bool(error["messageId"])) == ("reply_too_long", 1, True)


async def test_the_limit_of_a_frame_is_a_setting(settings: Settings, redis: RedisClient, agent: Agent) -> None:
    """Clients that accept less get less, and a reply that fits is never touched."""
    settings = changed(settings, gateway={"max_reply_frame": 16_384}, reply={"closing": ""})
    async with asked(settings, redis, agent, ["palavra " * 3000, "**cabe** "]) as (_, frames):
        cut, whole = (frame["data"] for frame in frames)
    assert 15_000 < len(cut["message"]) < 16_384
    assert cut["message"].endswith("palavra")
    assert (whole["message"], "truncated" in whole) == ("**cabe** ", False)
