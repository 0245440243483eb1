"""How long an answer may take that hangs on Redis or on the agents' table: a client is not left without one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from starlette.requests import Request
from starlette.responses import Response

from msgctl.domain.errors import Unavailable

RouteHandler = Callable[[Request], Awaitable[Response]]


@asynccontextmanager
async def time_limit(seconds: float) -> AsyncIterator[None]:
    """Give what is done inside so much time in all, however often Redis is asked.

    Raises:
        Unavailable: it took longer.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise Unavailable("The queue or the agents' table took too long to answer.") from None


def with_time_limit(handler: RouteHandler, seconds: float) -> RouteHandler:
    """A route's handler that answers within so many seconds, or is refused as unavailable."""

    async def answer(request: Request) -> Response:
        async with time_limit(seconds):
            return await handler(request)

    return answer
