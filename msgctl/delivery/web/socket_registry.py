"""A gateway's side of web delivery: which sockets live where, and what they missed."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable
from dataclasses import dataclass, field

import msgspec

from msgctl.config.settings import Settings
from msgctl.delivery.web.gateway_inbox import GatewayInbox, InboxFrame
from msgctl.domain.messages import Channel, Response
from msgctl.domain.ownership import require_owner
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.lua import Script
from msgctl.storage.redis.pipelining import AutoPipeline

GATEWAY_HEARTBEAT = Script.beside(__file__, "gateway_heartbeat")
REGISTER_SOCKET = Script.beside(__file__, "register_socket")

SOCKET_RENEWAL_BATCH = 500
"""Sockets whose lives one round trip prolongs."""
PRUNE_GATEWAY_AFTER_MS = 3_600_000
"""Milliseconds of silence after which a gateway is no longer listed."""

_missed_response_decoder = msgspec.json.Decoder(Response)


@dataclass(frozen=True)
class MissedResponses:
    """What a socket that comes back did not get."""

    responses: list[Response] = field(default_factory=list)
    recovered: bool = True
    """Whether the history reaches back to where the socket left. Not so where the conversation began anew, because
    it expired or Redis lost it: then the responses are all there are, from 1."""


class SocketRegistry:
    """The register of one gateway's sockets.

    Args:
        redis: a client for short commands.
        settings: `gateway.socket_ttl`, `history.ttl`.
        gateway: this gateway's name, unique among the living.
    """

    def __init__(self, redis: RedisClient, settings: Settings, gateway: str) -> None:
        self._redis = redis
        self._batch = AutoPipeline(redis)  # sockets come and go by the hundred when a gateway or a network does
        self._settings = settings
        self._gateway = gateway
        self._inbox = GatewayInbox(settings, gateway)
        self._ttl_ms = int(settings.gateway.socket_ttl * 1000)
        self._user_by_socket: dict[str, str] = {}
        self._conversations_by_socket: defaultdict[str, set[str]] = defaultdict(set)

    async def register(self, socket_id: str, user_id: str) -> None:
        """A socket is open.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        self._user_by_socket[socket_id] = user_id
        await self._register(socket_id, user_id)

    async def unregister(self, socket_id: str, conversation_ids: Iterable[str]) -> None:
        """A socket is closed; it leaves its conversations.

        Raises:
            RedisUnavailable: Redis does not answer; its entry expires by itself.
        """
        self._user_by_socket.pop(socket_id, None)
        joined = self._conversations_by_socket.pop(socket_id, set()) | set(conversation_ids)
        await asyncio.gather(
            self._batch.run_command("DEL", keys.SOCKET + socket_id),
            *(self._batch.run_command("SREM", keys.SOCKETS + each, socket_id) for each in joined),
        )

    async def join(self, socket_id: str, conversation_id: str) -> None:
        """A socket is to get what the conversation's responses name no socket for.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        self._conversations_by_socket[socket_id].add(conversation_id)
        await self._register(socket_id, "", conversation_id)

    async def leave(self, socket_id: str, conversation_id: str) -> None:
        """Undo `join`.

        Raises:
            RedisUnavailable: Redis does not answer; what is routed goes to its own user's sockets all the same.
        """
        self._conversations_by_socket[socket_id].discard(conversation_id)
        await self._batch.run_command("SREM", keys.SOCKETS + conversation_id, socket_id)

    async def renew(self, socket_ids: Collection[str]) -> None:
        """Prolong the lives of these sockets and of this gateway; to be called each third of `socket_ttl`.

        A socket that Redis has forgotten meanwhile (an outage outlasted its TTL) is enrolled anew, with its
        conversations.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        await self.heartbeat()
        ids = [socket_id for socket_id in socket_ids if socket_id in self._user_by_socket]
        for start in range(0, len(ids), SOCKET_RENEWAL_BATCH):
            await self._renew_batch(ids[start : start + SOCKET_RENEWAL_BATCH])

    async def find_missed(self, conversation_id: str, user_id: str, after_seq: int) -> MissedResponses:
        """The web responses of a conversation after a number, in order.

        Raises:
            NotFound: the conversation is another user's.
            RedisUnavailable: Redis does not answer.
        """
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hmget(keys.CONVERSATION + conversation_id, ["user", "floor", "seq"])
            pipeline.zrangebyscore(keys.REPLIES + conversation_id, f"({after_seq}", "+inf")
            (owner, floor, last), replies = await pipeline.execute()
        began_anew = owner is not None and after_seq > int(last or 0)
        if began_anew:
            replies = await self._redis.zrange(keys.REPLIES + conversation_id, 0, -1)
        if owner is None:
            return MissedResponses()
        require_owner("conversation", owner, user_id, str)
        responses = [_missed_response_decoder.decode(reply) for reply in replies]
        web = [response for response in responses if response.channel is Channel.WEB]
        return MissedResponses(web, recovered=after_seq >= int(floor or 0) and not began_anew)

    def read_frames(self) -> AsyncIterator[list[InboxFrame]]:
        """What is to be written to this gateway's sockets, as it comes, for ever."""
        return self._inbox.read_frames()

    async def heartbeat(self) -> None:
        """Show that this gateway lives, and drop those that have shown nothing for `FORGOTTEN`.

        To be called each second: after five of silence its sockets' replies go to wherever their users came back.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        await GATEWAY_HEARTBEAT(self._redis, self._gateway, PRUNE_GATEWAY_AFTER_MS)

    async def count_lost_frames(self) -> int:
        """How many frames for these sockets were dropped since this was asked last.

        `resume` brings the replies among them; the news of a dead letter is in the message's status only.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        return await self._inbox.count_lost(self._redis)

    async def _renew_batch(self, socket_ids: list[str]) -> None:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for socket_id in socket_ids:
                pipeline.pexpire(keys.SOCKET + socket_id, self._ttl_ms)
            alive = await pipeline.execute()
        forgotten = [socket_id for socket_id, known in zip(socket_ids, alive, strict=True) if not known]
        await asyncio.gather(
            *(
                self._register(
                    each, self._user_by_socket.get(each, ""), *self._conversations_by_socket.get(each, ())
                )
                for each in forgotten
            )
        )

    async def _register(self, socket_id: str, user_id: str, *conversation_ids: str) -> None:
        lives = self._ttl_ms, int(self._settings.history.ttl * 1000)
        await self._batch.run_script(REGISTER_SOCKET, socket_id, self._gateway, user_id, *lives, *conversation_ids)
