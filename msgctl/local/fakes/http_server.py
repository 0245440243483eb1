"""Small HTTP servers on the loopback interface, inside this process or as a process of their own."""

import asyncio
import socket
from contextlib import suppress
from typing import Self

import uvicorn
from starlette.applications import Starlette

from msgctl.local.supervisor import ports
from msgctl.observability import sd_notify


class HttpServer:
    """Serves an application in the running event loop, until it is stopped.

    Args:
        app: what to serve.
        port: the port on 127.0.0.1; None takes a free one.
    """

    def __init__(self, app: Starlette, port: int | None = None) -> None:
        self._app = app
        self._port = port or 0
        self._server: uvicorn.Server | None = None
        self._listener: socket.socket | None = None

    @property
    def url(self) -> str:
        """Where it is, without a slash at the end."""
        return f"http://{ports.LOOPBACK}:{self._port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen and serve."""
        self._listener = ports.open_listener(ports.LOOPBACK, self._port)
        self._port = self._listener.getsockname()[1]
        # uvicorn's own `serve` would take over the signals of a process that is not its own.
        server = uvicorn.Server(_uvicorn_config(self._app))
        server.config.load()
        server.lifespan = server.config.lifespan_class(server.config)
        await server.startup(sockets=[self._listener])
        self._server = server

    async def stop(self) -> None:
        """Stop listening and drop what is still open; harmless without a start and when repeated."""
        server, self._server = self._server, None
        if server is not None:
            for task in server.server_state.tasks:
                task.cancel()
            for connection in list(server.server_state.connections):
                connection.transport.abort()
            for listening in server.servers:
                listening.close()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(*server.server_state.tasks, return_exceptions=True)
        if self._listener is not None:
            self._listener.close()


def serve_process(app: Starlette, listener: socket.socket) -> None:
    """Serve an application as the business of this process, until SIGTERM; says READY=1 to who started us."""

    class Announced(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            sd_notify.send("READY=1")

    Announced(_uvicorn_config(app)).run(sockets=[listener])


def _uvicorn_config(app: Starlette) -> uvicorn.Config:
    return uvicorn.Config(
        app, lifespan="off", ws="none", log_config=None, access_log=False, timeout_graceful_shutdown=1
    )
