"""Routing of web responses and dead-letter notices to the gateways that hold the sockets."""

from collections.abc import Sequence

from redis.exceptions import NoScriptError

from msgctl.config.settings import Settings
from msgctl.delivery.delivery_record import record_ttl_ms
from msgctl.delivery.response_stream import StreamEntry
from msgctl.domain.messages import Failure, Response, target_socket_id
from msgctl.observability import logs, tracing
from msgctl.observability.metrics import definitions as metrics
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.keys import RESPONSES, RESPONSES_GROUP
from msgctl.storage.redis.lua import Script

ROUTE = Script.beside(__file__, "route")
REROUTE_FRAMES = Script.beside(__file__, "reroute_frames")

MAX_REROUTED_PER_RUN = 500
"""Frames of one gateway without heartbeat that one run examines."""

log = logs.get_logger(__name__)


class WebRouter:
    """Routes many responses in one round trip.

    Args:
        redis: a client for short commands.
        settings: `retention.completed`, `gateway.socket_ttl`.
    """

    def __init__(self, redis: RedisClient, settings: Settings) -> None:
        self._redis = redis
        self._gateway_gone_after_ms = int(2000 * settings.gateway.socket_ttl)
        # A sequence number shows that a response was routed before; without one only the record does.
        self._numbered_ttl_ms = int(settings.retention.completed * 1000)
        self._record_ttl_ms = record_ttl_ms(settings)

    async def route(self, entries: Sequence[StreamEntry]) -> None:
        """Route entries in order, unless the commit has done so already, and acknowledge them.

        An entry that Redis rejects (a key has a wrong type) is logged and does not affect the others; if it is a
        numbered response, it is routed with the next one of its conversation.

        Raises:
            RedisUnavailable: Redis did not answer; it is safe to route all of them again.
        """
        unrouted = [entry for entry in entries if not entry.sockets_reached]
        results = await self._route_pipelined(unrouted)
        if any(isinstance(result, NoScriptError) for result in results):
            await ROUTE.load(self._redis)
            results = await self._route_pipelined(unrouted)
        for entry, result in zip(unrouted, results, strict=True):
            if isinstance(result, Exception):
                log_fields = {"messageId": entry.event.message_id, "entry": entry.id}
                log.error("Web response cannot be routed", error=str(result), **log_fields)
            else:
                _count_delivery(entry, result)
        routed_by_commit = [entry for entry in entries if entry.sockets_reached]
        if routed_by_commit:
            await self._redis.xack(RESPONSES, RESPONSES_GROUP, *(entry.id for entry in routed_by_commit))
        for entry in routed_by_commit:
            _count_delivery(entry, entry.sockets_reached)

    async def reroute_frames(self) -> None:
        """Move the frames of gateways without heartbeat to other sockets of their users; call it each second.

        Raises:
            RedisUnavailable: Redis did not answer.
        """
        moved = await REROUTE_FRAMES(self._redis, self._gateway_gone_after_ms, MAX_REROUTED_PER_RUN)
        if moved:
            log.warning("Frames of a gateway without heartbeat were moved to other sockets", frames=moved)

    async def _route_pipelined(self, entries: Sequence[StreamEntry]) -> list[object]:
        if not entries:
            return []
        pipeline = self._redis.pipeline(transaction=False)
        for entry in entries:
            event = entry.event
            kind, seq = ("failure", 0) if isinstance(event, Failure) else ("response", event.seq or 0)
            ROUTE.add_to_pipeline(
                pipeline,
                entry.id,
                kind,
                event.conversation_id,
                seq,
                entry.body,
                self._numbered_ttl_ms if seq else self._record_ttl_ms,
                event.message_id,
                event.user_id or "",
                target_socket_id(event),
            )
        results: list[object] = await pipeline.execute(raise_on_error=False)
        return results


def _count_delivery(entry: StreamEntry, reached: object) -> None:
    if isinstance(entry.event, Response):
        metrics.DELIVERIES.labels("web", "sent" if reached else "kept").inc()
    with tracing.span("deliver", entry.event.message_id, kind="producer", channel="web"):
        pass  # a whole batch is routed in one round trip, so the span has no duration of its own
    log.debug("Web response routed", sockets=reached, messageId=entry.event.message_id, entry=entry.id)
