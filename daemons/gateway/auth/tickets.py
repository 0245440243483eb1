"""One-time tickets: a way into the WebSocket whose URL is worthless a moment later."""

import hashlib
import secrets

import msgspec

from msgctl.auth.tokens import Claims
from msgctl.domain.errors import Unauthorized
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient

TICKET_LIFETIME_S = 30
"""Seconds a ticket can be used."""


class Tickets:
    """Issues and redeems tickets; they are kept in Redis, so that any gateway can redeem any ticket.

    Args:
        redis: where they are kept, by their digest: who reads Redis cannot use one.
    """

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def issue(self, claims: Claims) -> str:
        """A ticket for the holder of a token; what it opens ends when that token does.

        Raises:
            RedisUnavailable: it could not be kept.
        """
        ticket = secrets.token_urlsafe(32)
        await self._redis.set(_ticket_key(ticket), msgspec.json.encode(claims), ex=TICKET_LIFETIME_S)
        return ticket

    async def redeem(self, ticket: str) -> Claims:
        """Take a ticket, once.

        Raises:
            Unauthorized: it is unknown, used or too old. A reply of Redis that was lost uses it up too: the client
                asks for another, whereas a ticket that works twice would be none.
            RedisUnavailable: it could not be looked up.
        """
        stored = await self._redis.getdel(_ticket_key(ticket))
        if stored is None:
            raise Unauthorized("The ticket is unknown, used or too old.")
        return msgspec.json.decode(stored, type=Claims)


def _ticket_key(ticket: str) -> str:
    return keys.TICKET + hashlib.sha256(ticket.encode("utf-8", "replace")).hexdigest()
