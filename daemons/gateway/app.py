"""The gateway as a whole: its parts, and its run from the first check to the last request."""

import secrets
import socket
from contextlib import AsyncExitStack

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, Router
from starlette.types import Receive, Scope, Send

from daemons.gateway.auth.authenticator import Authenticator
from daemons.gateway.auth.jwks import PublishedKeys
from daemons.gateway.auth.ticket_routes import TicketRoute
from daemons.gateway.auth.tickets import Tickets
from daemons.gateway.http import docs_routes
from daemons.gateway.http.message_routes import AcceptMessage, ReadStatus
from daemons.gateway.http.middleware import ConcurrencyLimit, CorsPolicy, EdgeMiddleware, ErrorMiddleware
from daemons.gateway.http.probes import ReadinessProbe, healthz
from daemons.gateway.http.queue_routes import QueueRoutes
from daemons.gateway.http.responses import routing_error_response
from daemons.gateway.http.webhook_routes import WebhookRoutes
from daemons.gateway.limits import ConnectionLimiter, RateLimiter
from daemons.gateway.readiness import Readiness
from daemons.gateway.server import server
from daemons.gateway.service import GatewayService, with_time_limit
from daemons.gateway.translations import select_texts
from daemons.gateway.ws import endpoint
from daemons.gateway.ws.endpoint import ChatEndpoint
from daemons.gateway.ws.hub import Hub, ProgressFeed
from daemons.runtime.lifecycle import Lifecycle
from daemons.runtime.metrics_server import serve_metrics
from daemons.runtime.watchdog import LivenessTracker, count_waiting, watchdog_task
from msgctl.agents.agents import Agents
from msgctl.agents.user_tiers import UserTiers
from msgctl.auth.tokens import Verifier
from msgctl.config.settings import Settings
from msgctl.delivery.web.gateway_sockets import SocketRegistry
from msgctl.inbound.processor import InboundProcessor
from msgctl.intake.accept import Intake
from msgctl.intake.channel_access import ChannelAccess
from msgctl.operations.context import Context
from msgctl.queue.queue import Queue
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.compatibility import check_server
from msgctl.storage.redis.connections import connect


async def serve(settings: Settings, lifecycle: Lifecycle, *, fd: int | None = None) -> None:
    """Run a gateway.

    Args:
        settings: the whole configuration.
        lifecycle: the signals that stop this process.
        fd: an inherited listening socket. None binds `gateway.host` and `gateway.port`.

    Raises:
        ConfigurationError: no key for tokens is usable, or Redis may lose messages.
        RedisUnavailable: Redis does not answer.
        Unavailable: the address is taken.
    """
    verifier = Verifier(settings)
    async with AsyncExitStack() as stack:
        redis = connect(settings)
        stack.push_async_callback(redis.aclose)
        await check_server(redis, settings)
        agents = await stack.enter_async_context(Agents(settings))
        tiers = await stack.enter_async_context(UserTiers(settings))
        gateway = GatewayApp(settings, redis, agents, tiers, verifier)
        await stack.enter_async_context(gateway.keys.run_renewal())
        await stack.enter_async_context(gateway.readiness.monitor())
        await stack.enter_async_context(gateway.hub.run_background())
        await stack.enter_async_context(serve_metrics(redis, settings))

        async def status() -> str:
            waiting = await count_waiting(redis)
            return f"{gateway.hub.connection_count} sockets, {waiting.total} messages waiting"

        async with watchdog_task(settings, LivenessTracker(), status):
            await gateway.run(server.listen(settings, fd), lifecycle, inherited=fd is not None)


class GatewayApp:
    """The parts of a gateway.

    Access: `keys`, `_authenticator`, and `_tickets` check credentials. `_cors` checks the origins of web pages.
    Limits: `_connection_limiter` limits open sockets, and `_concurrency` requests in flight.
    State: `readiness` tells whether the gateway can serve. `hub` keeps the open sockets.
    Work: `_service` serves clients, `_operations` answers queries, and `_webhooks` receive calls of providers.

    Args:
        settings: the whole configuration.
        redis: a client of `connections.connect`.
        agents: the agents that receive messages.
        tiers: the tiers of users.
        verifier: checks tokens.
    """

    def __init__(
        self, settings: Settings, redis: RedisClient, agents: Agents, tiers: UserTiers, verifier: Verifier
    ) -> None:
        # The name differs after a restart, because the sockets of the old process are gone.
        name = f"{socket.gethostname()}-{secrets.token_hex(4)}"
        queue = Queue(redis, settings, actor="gateway")
        intake = Intake(queue, agents)
        socket_registry = SocketRegistry(redis, settings, name)
        rate_limiter = RateLimiter(redis, settings, tiers)
        self._settings = settings
        self._texts = select_texts(settings)

        self.keys = PublishedKeys(verifier, settings)
        self._tickets = Tickets(redis)
        self._authenticator = Authenticator(verifier, self._tickets, self.keys, rate_limiter)
        self._cors = CorsPolicy(settings)

        self._connection_limiter = ConnectionLimiter(redis, settings, rate_limiter, name)
        self._concurrency = ConcurrencyLimit(settings.limits.in_hand)

        self.readiness = Readiness(redis, settings)
        self.hub = Hub(socket_registry, ProgressFeed(settings), settings)

        self._service = GatewayService(
            intake,
            ChannelAccess(settings, agents),
            socket_registry,
            self.readiness,
            rate_limiter=rate_limiter,
            concurrency=self._concurrency,
            settings=settings,
        )
        self._context = Context(settings, redis, queue)
        self._webhooks = WebhookRoutes(settings, InboundProcessor(redis, settings, intake, agents), self.readiness)

    async def run(self, listener: socket.socket, lifecycle: Lifecycle, *, inherited: bool) -> None:
        """Serve on a listening socket until `lifecycle.stopping`."""
        router = Router(self._routes(), redirect_slashes=False, default=self._answer_not_found)
        app = EdgeMiddleware(
            ErrorMiddleware(router, self._texts),
            self._chat_endpoint(),
            cors=self._cors,
            concurrency=self._concurrency,
            readiness=self.readiness,
            texts=self._texts,
        )
        await server.run_server(
            app,
            listener,
            lifecycle=lifecycle,
            settings=self._settings,
            texts=self._texts,
            notify_shutdown=self._notify_shutdown,
            inherited=inherited,
        )

    def _routes(self) -> list[BaseRoute]:
        authenticator, context, texts = self._authenticator, self._context, self._texts
        accept = AcceptMessage(authenticator, self._service, texts=texts, max_body=self._settings.gateway.max_body)
        queue = QueueRoutes(authenticator, context, texts)
        timeout_s = self._settings.redis.timeout
        status = with_time_limit(ReadStatus(authenticator, context).answer, timeout_s)
        ticket = with_time_limit(TicketRoute(authenticator, self._tickets).answer, timeout_s)
        return [
            Route("/api/messages", accept, methods=["POST"]),
            Route("/api/messages/{id}/status", status),
            Route("/api/messages/queue/stats", with_time_limit(queue.stats, timeout_s)),
            Route("/api/messages/queue/health", queue.health),
            Route("/api/ws-ticket", ticket, methods=["POST"]),
            Route("/healthz", healthz),
            Route("/readyz", ReadinessProbe(self.readiness).answer),
            Route(endpoint.SOCKET_PATH, self._require_websocket),
            *self._webhooks.routes(),
            *docs_routes.routes(),
        ]

    def _chat_endpoint(self) -> ChatEndpoint:
        return ChatEndpoint(
            self._authenticator,
            self._service,
            self.hub,
            self.readiness,
            cors=self._cors,
            connection_limiter=self._connection_limiter,
            settings=self._settings,
            texts=self._texts,
        )

    async def _answer_not_found(self, scope: Scope, receive: Receive, send: Send) -> None:
        await routing_error_response(404, self._texts)(scope, receive, send)

    async def _require_websocket(self, _: Request) -> Response:
        return routing_error_response(426, self._texts, {"upgrade": "websocket"})

    async def _notify_shutdown(self) -> None:
        self.readiness.stopping = True
        await self.hub.close_all_and_wait(self._texts.going_away)
