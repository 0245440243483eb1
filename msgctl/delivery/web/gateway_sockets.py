"""A gateway's half of web delivery: its register of sockets, the inbox of their frames, and missed responses."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable
from dataclasses import dataclass, field

import msgspec
from redis.exceptions import ResponseError

from msgctl.config.settings import Settings
from msgctl.domain.messages import Channel, Response
from msgctl.domain.ownership import require_owner
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.connections import blocking_client
from msgctl.storage.redis.lua import Script
from msgctl.storage.redis.pipelining import AutoPipeline
from msgctl.storage.redis.retry import RedisRetry

GATEWAY_HEARTBEAT = Script.beside(__file__, "gateway_heartbeat")
REGISTER_SOCKET = Script.beside(__file__, "register_socket")

SOCKET_RENEWAL_BATCH = 500
"""Sockets that one round trip renews."""
PRUNE_GATEWAY_AFTER_MS = 3_600_000
"""Milliseconds without a heartbeat after which a gateway is no longer listed."""
INBOX_READ_COUNT = 200
"""Frames per read."""
INBOX_BLOCK_S = 5.0
"""Seconds that a read waits inside Redis for a frame."""
MOVED_KIND = "moved"
"""The kind of an entry that replaces a frame which another socket of the same user got, because this gateway sent
no heartbeat for long."""

_missed_response_decoder = msgspec.json.Decoder(Response)


class InboxFrame(msgspec.Struct, frozen=True):
    """One event for one socket."""

    socket_id: str
    conversation_id: str
    seq: int
    """The sequence number of the response; 0 if it has none."""
    kind: str
    """`response`, `failure` or `MOVED_KIND`."""
    body: str
    """A `Response` or `Failure` of `msgctl.domain.messages` as JSON; empty if the frame was moved."""


@dataclass(frozen=True)
class MissedResponses:
    """The responses that a returning socket did not get."""

    responses: list[Response] = field(default_factory=list)
    recovered: bool = True
    """Whether the kept responses reach back to where the socket left. They do not if the conversation started
    again because it expired or Redis lost it: then these are all responses there are, from number 1."""


class SocketRegistry:
    """The register of one gateway's sockets.

    Args:
        redis: a client for short commands.
        settings: `gateway.socket_ttl`, `history.ttl`.
        gateway: the name of this gateway, unique among the running ones.
    """

    def __init__(self, redis: RedisClient, settings: Settings, gateway: str) -> None:
        self._redis = redis
        self._batch = AutoPipeline(redis)  # sockets come and go by the hundred when a gateway or a network fails
        self._settings = settings
        self._gateway = gateway
        self._inbox = GatewayInbox(settings, gateway)
        self._ttl_ms = int(settings.gateway.socket_ttl * 1000)
        self._user_by_socket: dict[str, str] = {}
        self._conversations_by_socket: defaultdict[str, set[str]] = defaultdict(set)

    async def register(self, socket_id: str, user_id: str) -> None:
        """Add an open socket.

        Raises:
            RedisUnavailable: Redis did not answer.
        """
        self._user_by_socket[socket_id] = user_id
        await self._register(socket_id, user_id)

    async def unregister(self, socket_id: str, conversation_ids: Iterable[str]) -> None:
        """Remove a closed socket from the register and from its conversations.

        Raises:
            RedisUnavailable: Redis did not answer; the socket's entry expires.
        """
        self._user_by_socket.pop(socket_id, None)
        joined = self._conversations_by_socket.pop(socket_id, set()) | set(conversation_ids)
        await asyncio.gather(
            self._batch.run_command("DEL", keys.SOCKET + socket_id),
            *(self._batch.run_command("SREM", keys.SOCKETS + conversation, socket_id) for conversation in joined),
        )

    async def join(self, socket_id: str, conversation_id: str) -> None:
        """Send a socket the responses of a conversation that name no socket.

        Raises:
            RedisUnavailable: Redis did not answer.
        """
        self._conversations_by_socket[socket_id].add(conversation_id)
        await self._register(socket_id, "", conversation_id)

    async def leave(self, socket_id: str, conversation_id: str) -> None:
        """Undo `join`.

        Raises:
            RedisUnavailable: Redis did not answer; responses still go only to sockets of the conversation's user.
        """
        self._conversations_by_socket[socket_id].discard(conversation_id)
        await self._batch.run_command("SREM", keys.SOCKETS + conversation_id, socket_id)

    async def renew(self, socket_ids: Collection[str]) -> None:
        """Extend the lifetime of these sockets and of this gateway; call it every third of `socket_ttl`.

        A socket that Redis has forgotten, because an outage outlasted its TTL, is registered again with its
        conversations.

        Raises:
            RedisUnavailable: Redis did not answer.
        """
        await self.heartbeat()
        ids = [socket_id for socket_id in socket_ids if socket_id in self._user_by_socket]
        for start in range(0, len(ids), SOCKET_RENEWAL_BATCH):
            await self._renew_batch(ids[start : start + SOCKET_RENEWAL_BATCH])

    async def find_missed(self, conversation_id: str, user_id: str, after_seq: int) -> MissedResponses:
        """Return the web responses of a conversation after a sequence number, in order.

        Raises:
            NotFound: the conversation belongs to another user.
            RedisUnavailable: Redis did not answer.
        """
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hmget(keys.CONVERSATION + conversation_id, ["user", "floor", "seq"])
            pipeline.zrangebyscore(keys.REPLIES + conversation_id, f"({after_seq}", "+inf")
            (owner, floor, last_seq), replies = await pipeline.execute()
        started_again = owner is not None and after_seq > int(last_seq or 0)
        if started_again:
            replies = await self._redis.zrange(keys.REPLIES + conversation_id, 0, -1)
        if owner is None:
            return MissedResponses()
        require_owner("conversation", owner, user_id, str)
        responses = [_missed_response_decoder.decode(reply) for reply in replies]
        web_responses = [response for response in responses if response.channel is Channel.WEB]
        return MissedResponses(web_responses, recovered=after_seq >= int(floor or 0) and not started_again)

    def read_frames(self) -> AsyncIterator[list[InboxFrame]]:
        """Yield the frames for this gateway's sockets as they arrive, until cancelled."""
        return self._inbox.read_frames()

    async def heartbeat(self) -> None:
        """Show that this gateway runs, and drop gateways without a heartbeat for `PRUNE_GATEWAY_AFTER_MS`.

        Call it each second: after five seconds without one, the responses of its sockets also go to other sockets
        of their users.

        Raises:
            RedisUnavailable: Redis did not answer.
        """
        await GATEWAY_HEARTBEAT(self._redis, self._gateway, PRUNE_GATEWAY_AFTER_MS)

    async def count_lost_frames(self) -> int:
        """Return how many frames for these sockets were dropped since the last call.

        `resume` returns the responses among them. A lost notice of a dead letter shows only in the status of its
        message.

        Raises:
            RedisUnavailable: Redis did not answer.
        """
        return await self._inbox.count_lost(self._redis)

    async def _renew_batch(self, socket_ids: list[str]) -> None:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for socket_id in socket_ids:
                pipeline.pexpire(keys.SOCKET + socket_id, self._ttl_ms)
            renewed = await pipeline.execute()
        await asyncio.gather(
            *(
                self._register(
                    socket_id,
                    self._user_by_socket.get(socket_id, ""),
                    *self._conversations_by_socket.get(socket_id, ()),
                )
                for socket_id, is_known in zip(socket_ids, renewed, strict=True)
                if not is_known
            )
        )

    async def _register(self, socket_id: str, user_id: str, *conversation_ids: str) -> None:
        ttls = self._ttl_ms, int(self._settings.history.ttl * 1000)
        await self._batch.run_script(REGISTER_SOCKET, socket_id, self._gateway, user_id, *ttls, *conversation_ids)


class GatewayInbox:
    """Reads and trims the stream of frames for one gateway.

    Args:
        settings: the address of Redis.
        gateway: the name of the gateway.
    """

    def __init__(self, settings: Settings, gateway: str) -> None:
        self._settings = settings
        self._key = keys.INBOX + gateway
        self._last_id = "0-0"
        self._read_count = 0

    async def read_frames(self) -> AsyncIterator[list[InboxFrame]]:
        """Yield batches of frames until cancelled; an outage of Redis only delays them."""
        redis_retry = RedisRetry("read the inbox")
        async with blocking_client(self._settings, max_block_s=INBOX_BLOCK_S) as client:
            while True:
                entries = await redis_retry.attempt(lambda: self._read(client))
                if entries:
                    frames = [_to_frame(fields) for _, fields in entries]
                    yield frames
                    self._last_id = entries[-1][0]
                    # A moved frame was deleted and its replacement added: Redis has counted both.
                    self._read_count += len(frames) + sum(frame.kind == MOVED_KIND for frame in frames)

    async def count_lost(self, redis: RedisClient) -> int:
        """Return how many frames were trimmed unread since the last call, because the inbox was full.

        The count is 0 until all remaining frames were read. It needs Redis 7.0 or newer, which counts the entries
        added; with an older one it is always 0, and the client sees the gap in the sequence numbers.
        """
        read_count = self._read_count
        try:
            stream = await redis.xinfo_stream(self._key)
        except ResponseError as error:
            if "no such key" not in str(error):
                raise
            return 0  # no frame has ever been added
        added = stream.get("entries-added")
        newest = stream["last-entry"]
        has_unread = newest is not None and _parse_entry_id(newest[0]) > _parse_entry_id(self._last_id)
        if added is None or has_unread or read_count != self._read_count:
            return 0
        self._read_count = int(added)  # it is less than was read if Redis itself has lost entries
        return max(0, int(added) - read_count)

    async def _read(self, client: RedisClient) -> list[tuple[str, dict[str, str]]]:
        """Trim the frames that were read, and wait for more, in one round trip."""
        milliseconds, number = _parse_entry_id(self._last_id)
        pipeline = client.pipeline(transaction=False)
        pipeline.execute_command("XTRIM", self._key, "MINID", f"{milliseconds}-{number + 1}")
        pipeline.execute_command(
            "XREAD",
            "BLOCK",
            int(INBOX_BLOCK_S * 1000),
            "COUNT",
            INBOX_READ_COUNT,
            "STREAMS",
            self._key,
            self._last_id,
        )
        _, reply = await pipeline.execute()
        return reply[0][1] if reply else []


def _parse_entry_id(entry_id: str) -> tuple[int, int]:
    milliseconds, number = entry_id.split("-")
    return int(milliseconds), int(number)


def _to_frame(fields: dict[str, str]) -> InboxFrame:
    return InboxFrame(
        socket_id=fields["socket"],
        conversation_id=fields["conversation"],
        seq=int(fields["seq"]),
        kind=fields["kind"],
        body=fields["body"],
    )
