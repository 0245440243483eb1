"""What stands before a send besides its turn: shared rates, a window, a receiver that is gone."""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Bucket:
    """A rate, kept in Redis for all processes.

    Args:
        kind: what its handler calls it, e.g. `chat`.
        name: unique in Redis; no phone number and no chat, but their digest.
        interval: milliseconds that one send costs.
        burst: sends that may come at once.
    """

    kind: str
    name: str
    interval: float
    burst: int = 1


@dataclass(frozen=True)
class SendLimits:
    """What BEGIN looks at before it lets a delivery go.

    Args:
        buckets: all of them must have room.
        window: the digest of a phone number that must have written to us within a day, if it ever has.
        url: the digest and host of a callback that must not have said that it is gone.
    """

    buckets: tuple[Bucket, ...] = ()
    window: str = ""
    url: str = ""

    def bucket(self, kind: str) -> Bucket | None:
        """The bucket of a kind."""
        return next((bucket for bucket in self.buckets if bucket.kind == kind), None)


def digest(text: object) -> str:
    """What stands for an address in a key."""
    return hashlib.sha256(str(text).encode()).hexdigest()[:20]


def rate(kind: str, name: str, per_second: float, burst: int = 0) -> Bucket:
    """A bucket of so many sends a second; as many at once as a second has, unless `burst` says otherwise."""
    return Bucket(kind, name, 1000 / per_second, burst or max(1, int(per_second)))
