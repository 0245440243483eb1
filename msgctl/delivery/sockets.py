"""A gateway's side of web delivery: which sockets live where, and what they missed."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable
from dataclasses import dataclass, field

import msgspec

from msgctl import contracts
from msgctl.config.settings import Settings
from msgctl.delivery.inbox import Frame, Inbox
from msgctl.messages import Channel, Response
from msgctl.ownership import demand_own
from msgctl.redisdb.batch import Batch
from msgctl.redisdb.client import RedisClient
from msgctl.redisdb.script import Script

BEAT = Script.beside(__file__, "gateway_heartbeat")
ENROLL = Script.beside(__file__, "register_socket")

CHUNK = 500
"""Sockets whose lives one round trip prolongs."""
FORGOTTEN = 3_600_000
"""Milliseconds of silence after which a gateway is no longer listed."""

_RESPONSE = msgspec.json.Decoder(Response)


@dataclass(frozen=True)
class Missed:
    """What a socket that comes back did not get."""

    responses: list[Response] = field(default_factory=list)
    recovered: bool = True
    """Whether the history reaches back to where the socket left. Not so where the conversation began anew, because
    it expired or Redis lost it: then the responses are all there are, from 1."""


class Sockets:
    """The register of one gateway's sockets.

    Args:
        redis: a client for short commands.
        settings: `gateway.socket_ttl`, `history.ttl`.
        gateway: this gateway's name, unique among the living.
    """

    def __init__(self, redis: RedisClient, settings: Settings, gateway: str) -> None:
        self._redis = redis
        self._batch = Batch(redis)  # sockets come and go by the hundred when a gateway or a network does
        self._settings = settings
        self._gateway = gateway
        self._inbox = Inbox(settings, gateway)
        self._ttl = int(settings.gateway.socket_ttl * 1000)
        self._users: dict[str, str] = {}
        self._joined: defaultdict[str, set[str]] = defaultdict(set)

    async def register(self, socket_id: str, user_id: str) -> None:
        """A socket is open.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        self._users[socket_id] = user_id
        await self._enroll(socket_id, user_id)

    async def unregister(self, socket_id: str, conversation_ids: Iterable[str]) -> None:
        """A socket is closed; it leaves its conversations.

        Raises:
            RedisUnavailable: Redis does not answer; its entry expires by itself.
        """
        self._users.pop(socket_id, None)
        joined = self._joined.pop(socket_id, set()) | set(conversation_ids)
        await asyncio.gather(
            self._batch.command("DEL", contracts.SOCKET + socket_id),
            *(self._batch.command("SREM", contracts.SOCKETS + each, socket_id) for each in joined),
        )

    async def join(self, socket_id: str, conversation_id: str) -> None:
        """A socket is to get what the conversation's responses name no socket for.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        self._joined[socket_id].add(conversation_id)
        await self._enroll(socket_id, "", conversation_id)

    async def leave(self, socket_id: str, conversation_id: str) -> None:
        """Undo `join`.

        Raises:
            RedisUnavailable: Redis does not answer; what is routed goes to its own user's sockets all the same.
        """
        self._joined[socket_id].discard(conversation_id)
        await self._batch.command("SREM", contracts.SOCKETS + conversation_id, socket_id)

    async def beat(self, socket_ids: Collection[str]) -> None:
        """Prolong the lives of these sockets and of this gateway; to be called each third of `socket_ttl`.

        A socket that Redis has forgotten meanwhile (an outage outlasted its TTL) is enrolled anew, with its
        conversations.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        await self.stay_alive()
        ids = [socket_id for socket_id in socket_ids if socket_id in self._users]
        for start in range(0, len(ids), CHUNK):
            await self._prolong(ids[start : start + CHUNK])

    async def missed(self, conversation_id: str, user_id: str, after_seq: int) -> Missed:
        """The web responses of a conversation after a number, in order.

        Raises:
            NotFound: the conversation is another user's.
            RedisUnavailable: Redis does not answer.
        """
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hmget(contracts.CONVERSATION + conversation_id, ["user", "floor", "seq"])
            pipeline.zrangebyscore(contracts.REPLIES + conversation_id, f"({after_seq}", "+inf")
            (owner, floor, last), replies = await pipeline.execute()
        began_anew = owner is not None and after_seq > int(last or 0)
        if began_anew:
            replies = await self._redis.zrange(contracts.REPLIES + conversation_id, 0, -1)
        if owner is None:
            return Missed()
        demand_own("conversation", owner, user_id, str)
        responses = [_RESPONSE.decode(reply) for reply in replies]
        web = [response for response in responses if response.channel is Channel.WEB]
        return Missed(web, recovered=after_seq >= int(floor or 0) and not began_anew)

    def frames(self) -> AsyncIterator[list[Frame]]:
        """What is to be written to this gateway's sockets, as it comes, for ever."""
        return self._inbox.frames()

    async def stay_alive(self) -> None:
        """Show that this gateway lives, and drop those that have shown nothing for `FORGOTTEN`.

        To be called each second: after five of silence its sockets' replies go to wherever their users came back.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        await BEAT(self._redis, self._gateway, FORGOTTEN)

    async def lost_frames(self) -> int:
        """How many frames for these sockets were dropped since this was asked last.

        `resume` brings the replies among them; the news of a dead letter is in the message's status only.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        return await self._inbox.lost(self._redis)

    async def _prolong(self, socket_ids: list[str]) -> None:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for socket_id in socket_ids:
                pipeline.pexpire(contracts.SOCKET + socket_id, self._ttl)
            alive = await pipeline.execute()
        forgotten = [socket_id for socket_id, known in zip(socket_ids, alive, strict=True) if not known]
        await asyncio.gather(
            *(self._enroll(each, self._users.get(each, ""), *self._joined.get(each, ())) for each in forgotten)
        )

    async def _enroll(self, socket_id: str, user_id: str, *conversation_ids: str) -> None:
        lives = self._ttl, int(self._settings.history.ttl * 1000)
        await self._batch.run(ENROLL, socket_id, self._gateway, user_id, *lives, *conversation_ids)
