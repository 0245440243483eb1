"""The limits of a send: shared rates, the reply window, and callback URLs that are gone."""

import hashlib
from dataclasses import dataclass
from typing import Self

import msgspec


@dataclass(frozen=True)
class Bucket:
    """A rate limit, kept in Redis for all processes.

    Args:
        kind: the name that its sender uses, e.g. `chat`.
        name: unique in Redis; it holds digests instead of phone numbers and chats.
        interval: milliseconds that one send costs.
        burst: sends that are permitted at once.
    """

    kind: str
    name: str
    interval: float
    burst: int = 1


@dataclass(frozen=True)
class SendLimits:
    """The limits that `begin_attempt` checks before it permits a send.

    Args:
        buckets: all of them must permit it.
        window: the digest of a customer's address, whose last message, if there is any, must be within the
            `reply_window` of the channel.
        url: the digest and host of a callback URL, which must not be gone.
    """

    buckets: tuple[Bucket, ...] = ()
    window: str = ""
    url: str = ""

    def to_json(self) -> bytes:
        """Return the buckets for a delivery record, so that a status can close them later."""
        return msgspec.json.encode([(one.kind, one.name, one.interval, one.burst) for one in self.buckets])

    @classmethod
    def from_json(cls, stored: str) -> Self:
        """Return the limits with the buckets that `to_json` wrote."""
        return cls(
            tuple(Bucket(*one) for one in msgspec.json.decode(stored, type=list[tuple[str, str, float, int]]))
        )

    def bucket(self, kind: str) -> Bucket | None:
        """Return the bucket of a kind, if there is one."""
        return next((bucket for bucket in self.buckets if bucket.kind == kind), None)


def digest(text: object) -> str:
    """Return the digest that replaces an address in a key."""
    return hashlib.sha256(str(text).encode()).hexdigest()[:20]


def rate(kind: str, name: str, per_second: float, burst: int = 0) -> Bucket:
    """Return a bucket of `per_second` sends; its default burst is the sends of one second."""
    return Bucket(kind, name, 1000 / per_second, burst or max(1, int(per_second)))
