"""The search reads the agent of a message by its name, wherever it is in the JSON, and from older jobs too."""

import json

import pytest

from msgctl.config.settings import Settings
from msgctl.operations.context import Context
from msgctl.operations.messages.query import Query
from msgctl.operations.messages.search import MessageSearch
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.messages import Traffic


async def reorder(redis: RedisClient, message_id: str, **more: object) -> None:
    """Store the message of a job with its fields in reverse order, and others in front."""
    key = keys.job_key(message_id)
    message = json.loads(await redis.hget(key, keys.FIELD_MESSAGE) or "")
    await redis.hset(key, keys.FIELD_MESSAGE, json.dumps({**more, **dict(reversed(message.items()))}))


async def remove_agent_field(redis: RedisClient, message_id: str) -> None:
    """Make a job look as an earlier version wrote it: only the message names the agent."""
    await redis.hdel(keys.job_key(message_id), keys.FIELD_AGENT)


@pytest.fixture
async def jobs(redis: RedisClient, traffic: Traffic) -> None:
    """Four messages of agent `wanted`, new, old, and each reordered, and two of another agent."""
    for name in ("new", "new_reordered", "old", "old_reordered"):
        await traffic.waiting(name, agent="wanted")
    for name in ("other", "old_other"):
        await traffic.waiting(name, agent="another")
    for name in ("new_reordered", "old_reordered", "old_other"):
        await reorder(redis, name, channelMetadata={"agentId": "wanted"}, note='"agentId":"wanted",')
    for name in ("old", "old_reordered", "old_other"):
        await remove_agent_field(redis, name)


WANTED = {"new", "new_reordered", "old", "old_reordered"}


async def test_new_job_stores_its_agent(redis: RedisClient, traffic: Traffic) -> None:
    """A search does not need to read the message itself."""
    await traffic.waiting("m", agent="wanted")
    assert await redis.hget(keys.job_key("m"), keys.FIELD_AGENT) == "wanted"


@pytest.mark.usefixtures("jobs")
async def test_walk_finds_the_messages_of_an_agent(redis: RedisClient, settings: Settings) -> None:
    """A message to another agent whose text names this one does not match."""
    found = await MessageSearch(Context(settings, redis)).all(Query(agent="wanted"))
    assert {(item.message_id, item.agent_id) for item in found} == {(name, "wanted") for name in WANTED}


@pytest.mark.usefixtures("jobs")
async def test_bounded_search_finds_the_messages_of_an_agent(redis: RedisClient, settings: Settings) -> None:
    """It finds the same messages as the walk."""
    found = await MessageSearch(Context(settings, redis)).newest(Query(agent="wanted"), 100)
    assert {item.message_id for item in found.items} == WANTED


async def test_message_that_cannot_be_read_has_no_agent(
    redis: RedisClient, settings: Settings, traffic: Traffic
) -> None:
    """It is listed without one, and no search by agent fails."""
    for name, stored in (("broken", "{"), ("list", "[1]"), ("number", '{"agentId": 7}')):
        await traffic.waiting(name, agent="wanted")
        await remove_agent_field(redis, name)
        await redis.hset(keys.job_key(name), keys.FIELD_MESSAGE, stored)
    found = await MessageSearch(Context(settings, redis)).all(Query())
    assert {item.agent_id for item in found} == {""}
    assert not (await MessageSearch(Context(settings, redis)).newest(Query(agent="wanted"), 100)).items
