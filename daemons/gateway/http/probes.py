"""The routes `GET /healthz` and `GET /readyz` for probes."""

from starlette.requests import Request
from starlette.responses import Response

from daemons.gateway.http.responses import success_response
from daemons.gateway.http.schemas import Liveness
from daemons.gateway.readiness import Readiness


async def healthz(_: Request) -> Response:
    """Answer that the process is alive."""
    return success_response(Liveness())


class ReadinessProbe:
    """Answers whether the gateway can serve.

    Args:
        readiness: the state of the gateway.
    """

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

    async def answer(self, _: Request) -> Response:
        """Answer one probe."""
        await self._readiness.check()
        return success_response(Liveness())
