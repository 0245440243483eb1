"""How long an answer may take that hangs on Redis or on the agents' table: a client is not left without one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from starlette.requests import Request
from starlette.responses import Response

from msgctl.errors import Unavailable

Handler = Callable[[Request], Awaitable[Response]]


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """Give what is done inside so much time in all, however often Redis is asked.

    Raises:
        Unavailable: it took longer.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise Unavailable("The queue or the agents' table took too long to answer.") from None


def punctual(handler: Handler, seconds: float) -> Handler:
    """A route's handler that answers within so many seconds, or is refused as unavailable."""

    async def answer(request: Request) -> Response:
        async with within(seconds):
            return await handler(request)

    return answer
