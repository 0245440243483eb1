"""A connection that packs in C and writes without a task: the same bytes, the same faults."""

from enum import StrEnum
from typing import Any

import pytest
from redis.asyncio import Connection
from redis.exceptions import DataError

from msgctl.config.settings import Settings
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.connections import connect
from msgctl.storage.redis.fast_connection import FastTcpConnection


class Word(StrEnum):
    """A text that is one of a few."""

    ONE = "one"


@pytest.mark.parametrize(
    "words",
    [
        ("SET", "k", "v"),
        ("SET", "clé 😀", b"\x00\r\n"),
        ("ZADD", "k", 1.5, Word.ONE, -1, "x" * 20_000),
        ("EVALSHA", "sha", 0, "", 2**53, 0.1, 1e300, 3.0),
        ("CLIENT SETINFO", "LIB-NAME", "x"),
        ("GET", bytearray(b"k")),
    ],
)
def test_the_bytes_are_redis_pys(words: tuple[Any, ...]) -> None:
    """Whatever is sent, Redis reads the same."""
    plain = Connection()
    assert b"".join(FastTcpConnection().pack_command(*words)) == b"".join(plain.pack_command(*words))
    assert b"".join(FastTcpConnection().pack_commands([words] * 3)) == b"".join(plain.pack_commands([words] * 3))


@pytest.mark.parametrize("word", [True, None, object()])
def test_what_redis_py_refuses_is_refused(word: Any) -> None:
    """By name, before anything is sent."""
    with pytest.raises(DataError):
        FastTcpConnection().pack_command("SET", "k", word)


async def test_more_than_a_socket_takes_arrives_whole(settings: Settings) -> None:
    """What must wait for the other side is written to its end, and the next command follows it."""
    async with connect(settings) as redis:
        large = "x" * 30_000_000
        pipeline = redis.pipeline(transaction=False)
        for number in range(3):
            pipeline.set(f"k{number}", large)
        assert await pipeline.execute() == [True] * 3
        assert await redis.strlen("k2") == len(large)


async def test_a_connection_that_was_cut_is_made_anew(settings: Settings, redis: RedisClient) -> None:
    """As redis-py promises: the command is sent again on a new one."""
    async with connect(settings) as ours:
        me = await ours.client_id()
        await redis.client_kill_filter(_id=str(me))
        assert await ours.ping()
