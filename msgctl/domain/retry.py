"""Decide when a failed attempt is tried again, or that it never is. Pure: no I/O, no clock, chance is passed in.

The same rules serve both sides: the attempts at a message (n8n) and the attempts at delivering its response.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

from msgctl.domain.errors import AttemptFailed, DeliveryFailed, FaultClass, MsgctlError

TRANSIENT_STATUSES = frozenset({408, 425, 429})
"""4xx statuses that say "not now": the request timed out, came too early, or came too often."""
N8N_TRANSIENT_STATUSES = TRANSIENT_STATUSES | {404}
"""n8n also answers 404 while it starts or while a workflow is republished. Of a provider or a callback a 404 is
final: the recipient or the URL does not exist, and a repetition cannot change that."""
SHORTEST_RATE_WAIT_S, LONGEST_RATE_WAIT_S = 1.0, 3600.0
"""Bounds of the wait for an exceeded rate: less would ask too often, more would outlast the limits that exist."""
MAX_RATE_STEPS = 6
"""How often the wait for an exceeded rate grows."""


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how soon a failed attempt is repeated.

    Args:
        attempts: attempts in all; attempts that do not count are free.
        base: seconds before the second attempt; doubled for each further one.
        cap: the longest pause, in seconds, whatever the exponent says.
        hold: seconds between attempts while a dependency is down; doubled up to `cap`.
        by_class: attempts for errors of one class, for example `{WorkflowTimeout: 5}`. The closest base class of
            the error decides; `attempts` holds for all others.
        schedule: seconds before each attempt, the first included. Where it is given, it replaces `attempts`,
            `base` and `by_class`.
    """

    attempts: int = 3
    base: float = 2.0
    cap: float = 60.0
    hold: float = 1.0
    by_class: Mapping[type[MsgctlError], int] = field(default_factory=dict)
    schedule: Sequence[float] | None = None

    @property
    def most_attempts(self) -> int:
        """The most attempts that any error may get."""
        return len(self.schedule) if self.schedule is not None else max([self.attempts, *self.by_class.values()])

    def attempts_for(self, error: MsgctlError) -> int:
        """Return how many attempts an error of this class gets."""
        if self.schedule is not None:
            return len(self.schedule)
        return next((self.by_class[one] for one in type(error).__mro__ if one in self.by_class), self.attempts)


@dataclass(frozen=True)
class RetryLater:
    """Try again after `delay` seconds; `counts_as_attempt` says whether this attempt is one of those allowed."""

    delay: float
    counts_as_attempt: bool


@dataclass(frozen=True)
class GiveUp:
    """Do not try again: a message becomes a dead letter, a delivery ends as failed."""


def decide(
    policy: RetryPolicy, error: AttemptFailed | DeliveryFailed, *, attempts: int, snoozes: int, chance: float
) -> RetryLater | GiveUp:
    """Decide what becomes of a message or a delivery whose attempt failed.

    Args:
        policy: the configured policy.
        error: the failure; the `retry_after` it names is never undercut.
        attempts: counted attempts so far, this one included if it counts, from 1.
        snoozes: how often in a row it has been snoozed because a dependency was down, from 0.
        chance: a random number in [0, 1); spreads the pauses, so that many do not return at once.
    """
    if error.fault is FaultClass.DEPENDENCY:
        return RetryLater(
            _backoff(policy, policy.hold, snoozes, chance, error.retry_after), counts_as_attempt=False
        )
    if error.fault is FaultClass.FINAL or attempts >= policy.attempts_for(error):
        return GiveUp()
    if policy.schedule is not None:
        # A published schedule is a promise: it may be late by a tenth and is never early.
        delay = max(policy.schedule[attempts] * (1 + 0.1 * chance), error.retry_after or 0.0)
        return RetryLater(delay, counts_as_attempt=True)
    return RetryLater(
        _backoff(policy, policy.base, attempts - 1, chance, error.retry_after), counts_as_attempt=True
    )


def wait_for_rate(first: float, *, snoozes: int, retry_after: float | None) -> RetryLater:
    """Decide how long an exceeded rate is waited for; what a rate limit turns away does not count as an attempt.

    Args:
        first: seconds of the first wait where the provider names none; each further one is four times as long.
        snoozes: how often in a row the rate has been waited for, from 0.
        retry_after: seconds that the provider asks for.
    """
    delay = (
        first * 4 ** min(MAX_RATE_STEPS, snoozes)
        if retry_after is None
        else max(retry_after, SHORTEST_RATE_WAIT_S)
    )
    return RetryLater(min(LONGEST_RATE_WAIT_S, delay), counts_as_attempt=False)


def classify_status(status: int, transient: Collection[int] = TRANSIENT_STATUSES) -> FaultClass:
    """Tell whether a request that was answered with an HTTP status other than 2xx may succeed later.

    Args:
        status: the HTTP status. Redirects are final, because they are not followed.
        transient: the statuses below 500 that pass; `N8N_TRANSIENT_STATUSES` for n8n.
    """
    return FaultClass.TRANSIENT if status >= 500 or status in transient else FaultClass.FINAL


def parse_retry_after(value: str, *, now: float, longest: float) -> float | None:
    """Read a Retry-After header (RFC 9110, section 10.2.3) as seconds to wait; None if it is not usable.

    Args:
        value: seconds, or an HTTP date.
        now: Unix seconds.
        longest: the most seconds to return, since the other side may ask for any number.
    """
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(float(value), longest)
    try:
        return min(max(0.0, parsedate_to_datetime(value).timestamp() - now), longest)
    except (ValueError, TypeError, OverflowError):
        return None


def _backoff(policy: RetryPolicy, first: float, doublings: int, chance: float, retry_after: float | None) -> float:
    """Return an exponential pause with ±20 % of jitter, and at least what the other side asked for."""
    exponential = min(policy.cap, first * 2.0 ** min(doublings, 32))
    return max(exponential * (0.8 + 0.4 * chance), retry_after or 0.0)
