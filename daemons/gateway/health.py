"""`GET /healthz` and `GET /readyz`, for probes."""

from starlette.requests import Request
from starlette.responses import Response

from daemons.gateway.answers import succeed
from daemons.gateway.bodies import Liveness
from daemons.gateway.standing import Standing


async def healthz(_: Request) -> Response:
    """The process lives."""
    return succeed(Liveness())


class Readiness:
    """Whether the process can serve.

    Args:
        standing: knows.
    """

    def __init__(self, standing: Standing) -> None:
        self._standing = standing

    async def answer(self, _: Request) -> Response:
        """Answer one probe."""
        await self._standing.check()
        return succeed(Liveness())
