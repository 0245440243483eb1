"""The gateway as a whole: what it is made of, and its life from the first check to the last request."""

import secrets
import socket
from contextlib import AsyncExitStack

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, Router
from starlette.types import Receive, Scope, Send

from daemons._metrics import measured
from daemons._pace import Pace
from daemons._process import Life
from daemons._watchdog import count_waiting, watched
from daemons.gateway import docs, listener, server, sockets
from daemons.gateway.admission import Admission
from daemons.gateway.answers import Boundary, refuse_route
from daemons.gateway.credentials import Credentials
from daemons.gateway.deadline import punctual
from daemons.gateway.door import Door
from daemons.gateway.health import Readiness, healthz
from daemons.gateway.hub import Hub
from daemons.gateway.jwks import PublishedKeys
from daemons.gateway.limits import Limits
from daemons.gateway.logins import TicketRoute
from daemons.gateway.messages import AcceptMessage, ReadStatus
from daemons.gateway.occupancy import Occupancy
from daemons.gateway.origins import Origins
from daemons.gateway.progress import ProgressFeed
from daemons.gateway.queue import QueueRoutes
from daemons.gateway.sockets import ChatSocket
from daemons.gateway.standing import Standing
from daemons.gateway.texts import choose
from daemons.gateway.tickets import Tickets
from daemons.gateway.webhooks import Webhooks
from daemons.gateway.workload import Workload
from msgctl.agents.store import Agents
from msgctl.config.settings import Settings
from msgctl.delivery.sockets import Sockets
from msgctl.inbound.reception import Reception
from msgctl.intake import Intake
from msgctl.operations.entrance import Operations
from msgctl.redisdb.client import RedisClient
from msgctl.redisdb.connection import connect
from msgctl.redisdb.safety import check_durability
from msgctl.rqueue.queue import Queue
from msgctl.tiers import Tiers
from msgctl.tokens import Verifier


async def serve(settings: Settings, life: Life, *, fd: int | None = None) -> None:
    """Run a gateway.

    Args:
        settings: all of them.
        life: when to stop.
        fd: an inherited listening socket; None binds `gateway.host` and `gateway.port`.

    Raises:
        ConfigurationError: there is no usable key for tokens, or Redis may lose messages.
        RedisUnavailable: Redis does not answer.
        Unavailable: the address is taken.
    """
    verifier = Verifier(settings)
    async with AsyncExitStack() as stack:
        redis = connect(settings)
        stack.push_async_callback(redis.aclose)
        if not settings.redis.accept_data_loss:
            await check_durability(redis, settings)
        agents = await stack.enter_async_context(Agents(settings))
        tiers = await stack.enter_async_context(Tiers(settings))
        gateway = Gateway(settings, redis, agents, tiers, verifier)
        await stack.enter_async_context(gateway.keys.renewed())
        await stack.enter_async_context(gateway.standing.watching())
        await stack.enter_async_context(gateway.hub.running())
        await stack.enter_async_context(measured(redis, settings))

        async def status() -> str:
            waiting = await count_waiting(redis)
            return f"{gateway.hub.connected} sockets, {waiting.all} messages waiting"

        async with watched(settings, Pace(), status):
            await gateway.run(listener.listen(settings, fd), life, inherited=fd is not None)


class Gateway:
    """What a gateway is made of.

    Args:
        settings: all of them.
        redis: a client of `redisdb.connect`.
        agents: who may be written to.
        tiers: what users have a tier.
        verifier: checks tokens.
    """

    def __init__(
        self, settings: Settings, redis: RedisClient, agents: Agents, tiers: Tiers, verifier: Verifier
    ) -> None:
        queue = Queue(redis, settings, actor="gateway")
        name = (
            f"{socket.gethostname()}-{secrets.token_hex(4)}"  # another one after a restart: its sockets are gone
        )
        register = Sockets(redis, settings, name)
        self._settings = settings
        self._texts = choose(settings)
        self._tickets = Tickets(redis)
        self.keys = PublishedKeys(verifier, settings)
        limits = Limits(redis, settings, tiers)
        self._credentials = Credentials(verifier, self._tickets, self.keys, limits)
        self._occupancy = Occupancy(redis, settings, limits, name)
        self._workload = Workload(settings.limits.in_hand)
        self._origins = Origins(settings)
        self.standing = Standing(redis, settings)
        self._admission = Admission(
            Intake(queue, agents),
            register,
            self.standing,
            limits=limits,
            workload=self._workload,
            settings=settings,
        )
        self._webhooks = Webhooks(
            settings, Reception(redis, settings, Intake(queue, agents), agents), self.standing
        )
        self._operations = Operations(settings, redis, queue)
        self.hub = Hub(register, ProgressFeed(settings), settings)

    async def run(self, door: socket.socket, life: Life, *, inherited: bool) -> None:
        """Serve on a listening socket until told to stop."""
        router = Router(self._routes(), redirect_slashes=False, default=self._no_route)
        app = Door(
            Boundary(router, self._texts),
            self._chat(),
            origins=self._origins,
            workload=self._workload,
            standing=self.standing,
            texts=self._texts,
        )
        await server.run(
            app,
            door,
            life=life,
            settings=self._settings,
            texts=self._texts,
            farewell=self._farewell,
            inherited=inherited,
        )

    def _routes(self) -> list[BaseRoute]:
        credentials, operations, texts = self._credentials, self._operations, self._texts
        accept = AcceptMessage(credentials, self._admission, texts=texts, max_body=self._settings.gateway.max_body)
        queue = QueueRoutes(credentials, operations, texts)
        patience = self._settings.redis.timeout
        status = punctual(ReadStatus(credentials, operations).answer, patience)
        ticket = punctual(TicketRoute(credentials, self._tickets).answer, patience)
        return [
            Route("/api/messages", accept, methods=["POST"]),
            Route("/api/messages/{id}/status", status),
            Route("/api/messages/queue/stats", punctual(queue.stats, patience)),
            Route("/api/messages/queue/health", queue.health),
            Route("/api/ws-ticket", ticket, methods=["POST"]),
            Route("/healthz", healthz),
            Route("/readyz", Readiness(self.standing).answer),
            Route(sockets.PATH, self._only_sockets),
            *self._webhooks.routes(),
            *docs.routes(),
        ]

    def _chat(self) -> ChatSocket:
        return ChatSocket(
            self._credentials,
            self._admission,
            self.hub,
            self.standing,
            origins=self._origins,
            occupancy=self._occupancy,
            settings=self._settings,
            texts=self._texts,
        )

    async def _no_route(self, scope: Scope, receive: Receive, send: Send) -> None:
        await refuse_route(404, self._texts)(scope, receive, send)

    async def _only_sockets(self, _: Request) -> Response:
        return refuse_route(426, self._texts, {"upgrade": "websocket"})

    async def _farewell(self) -> None:
        self.standing.stopping = True
        await self.hub.dismiss_all(self._texts.going_away)
