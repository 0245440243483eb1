"""One-time tickets for the WebSocket, so that no URL contains a token."""

import hashlib
import secrets

import msgspec

from msgctl.auth.tokens import Claims
from msgctl.domain.errors import Unauthorized
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient

TICKET_LIFETIME_S = 30
"""Seconds until an unused ticket expires."""


class Tickets:
    """Issues and redeems tickets. They are in Redis, so each gateway can redeem all of them.

    Args:
        redis: stores only the digests of tickets, so a reader of Redis cannot use one.
    """

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def issue(self, claims: Claims) -> str:
        """Return a ticket for the user of a token. Its socket ends when the token expires.

        Raises:
            RedisUnavailable: the ticket could not be stored.
        """
        ticket = secrets.token_urlsafe(32)
        await self._redis.set(_ticket_key(ticket), msgspec.json.encode(claims), ex=TICKET_LIFETIME_S)
        return ticket

    async def redeem(self, ticket: str) -> Claims:
        """Use a ticket up and return its claims.

        Raises:
            Unauthorized: the ticket is unknown, used, or expired. A lost reply of Redis uses it up too, because a
                ticket must never work twice. The client then requests another one.
            RedisUnavailable: the ticket could not be looked up.
        """
        stored = await self._redis.getdel(_ticket_key(ticket))
        if stored is None:
            raise Unauthorized("The ticket is unknown, used, or expired. Request a new one.")
        return msgspec.json.decode(stored, type=Claims)


def _ticket_key(ticket: str) -> str:
    return keys.TICKET + hashlib.sha256(ticket.encode("utf-8", "replace")).hexdigest()
