"""When a failed attempt is tried again, or never. Pure: no I/O, no clock, chance is passed in."""

from dataclasses import dataclass

from msgctl.errors import FaultClass


@dataclass(frozen=True)
class Policy:
    """How patient the pipeline is with one message.

    Args:
        attempts: how many charged attempts a message gets.
        base: seconds before the second attempt; doubled for each further one.
        cap: the longest pause, in seconds, whatever the exponent says.
        hold: seconds between looks at a dependency that is down; doubled up to `cap`.
    """

    attempts: int = 3
    base: float = 2.0
    cap: float = 60.0
    hold: float = 1.0


@dataclass(frozen=True)
class Again:
    """Try again after `delay` seconds; `charged` says whether the attempt counts against the message."""

    delay: float
    charged: bool


@dataclass(frozen=True)
class Never:
    """Give up: the message becomes a dead letter."""


def decide(
    policy: Policy,
    fault: FaultClass,
    *,
    attempts: int,
    holds: int,
    chance: float,
    retry_after: float | None = None,
) -> Again | Never:
    """Decide what becomes of a message whose attempt failed.

    Args:
        policy: the configured patience.
        fault: the class of the failure.
        attempts: charged attempts so far, this one included if it is charged, from 1.
        holds: how often the message was already held for a dependency, from 0.
        chance: a random number in [0, 1); spreads the pauses by ±20 % so that a herd does not return at once.
        retry_after: seconds the other side asked for; never undercut.
    """
    if fault is FaultClass.DEPENDENCY:
        return Again(_pause(policy, policy.hold, holds, chance, retry_after), charged=False)
    if fault is FaultClass.FINAL or attempts >= policy.attempts:
        return Never()
    return Again(_pause(policy, policy.base, attempts - 1, chance, retry_after), charged=True)


def _pause(policy: Policy, first: float, doublings: int, chance: float, retry_after: float | None) -> float:
    """Exponential backoff with ±20 % of jitter; what the other side asked for is the least."""
    exponential = min(policy.cap, first * 2.0 ** min(doublings, 32))
    return max(exponential * (0.8 + 0.4 * chance), retry_after or 0.0)
