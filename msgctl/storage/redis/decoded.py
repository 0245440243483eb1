"""redis-py's classes with the types of decoded answers, for the type checker only.

redis-py types each string of an answer as `bytes | str`, and some methods not at all. Our connections decode.
"""

# ruff: noqa: A002, D101, D102 - redis-py's names of arguments; redis-py documents the methods

from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline, PubSub

Entries = list[tuple[str, dict[str, str]]]
"""Entries of a stream, each with its id and fields."""

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from redis.typing import EncodableT, FieldT, KeyT

    class DecodedRedis(Redis):
        def blpop(self, keys: Any, timeout: float | None = 0) -> Awaitable[tuple[str, str] | None]: ...
        async def execute_command(self, *args: Any, **options: Any) -> Any: ...
        def get(self, name: KeyT) -> Awaitable[str | None]: ...
        def getdel(self, name: KeyT) -> Awaitable[str | None]: ...
        def hget(self, name: KeyT, key: FieldT) -> Awaitable[str | None]: ...
        def hgetall(self, name: KeyT) -> Awaitable[dict[str, str]]: ...  # type: ignore[override]
        def hmget(self, name: KeyT, keys: Any, *args: FieldT) -> Awaitable[list[str | None]]: ...  # type: ignore[override]
        def hset(
            self,
            name: KeyT,
            key: Any = None,
            value: Any = None,
            mapping: Mapping[Any, Any] | None = None,
            items: Any = None,
        ) -> Awaitable[int]: ...
        def hvals(self, name: KeyT) -> Awaitable[list[str]]: ...  # type: ignore[override]
        def lindex(self, name: KeyT, index: int) -> Awaitable[str | None]: ...
        def lrange(self, name: KeyT, start: int, end: int) -> Awaitable[list[str]]: ...  # type: ignore[override]
        def lpos(self, name: KeyT, value: str, *, maxlen: int | None = None) -> Awaitable[int | None]: ...  # type: ignore[override]
        def mget(self, keys: Any, *args: EncodableT) -> Awaitable[list[str | None]]: ...  # type: ignore[override]
        def ping(self, **kwargs: Any) -> Awaitable[bool]: ...
        def script_load(self, script: Any) -> Awaitable[str]: ...
        def smembers(self, name: KeyT) -> Awaitable[set[str]]: ...  # type: ignore[override]
        def xrange(  # type: ignore[override]
            self, name: KeyT, min: Any = "-", max: Any = "+", count: int | None = None
        ) -> Awaitable[Entries]: ...
        def xrevrange(  # type: ignore[override]
            self, name: KeyT, max: Any = "+", min: Any = "-", count: int | None = None
        ) -> Awaitable[Entries]: ...
        def zrange(  # type: ignore[override]
            self, name: KeyT, start: EncodableT, end: EncodableT, **options: Any
        ) -> Awaitable[list[Any]]: ...

    class DecodedPipeline(Pipeline):
        def __init__(self, pool: Any, callbacks: Any, transaction: bool, shard_hint: str | None) -> None: ...  # noqa: FBT001
        def execute_command(self, *args: Any, **options: Any) -> Any: ...

    class DecodedPubSub(PubSub):
        async def aclose(self) -> None: ...
        async def execute_command(self, *args: EncodableT) -> Any: ...
        async def parse_response(self, block: bool = True, timeout: float = 0) -> Any: ...  # noqa: ASYNC109, FBT001, FBT002

else:
    DecodedRedis, DecodedPipeline, DecodedPubSub = Redis, Pipeline, PubSub
