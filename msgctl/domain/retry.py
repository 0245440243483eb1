"""Retry decisions: when a failed attempt is repeated, if at all. Pure: no I/O, no clock, no randomness.

The same rules apply to attempts to process a message (n8n) and to attempts to deliver its response.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

from msgctl.domain.errors import AttemptFailed, DeliveryFailed, FaultClass, MsgctlError
from msgctl.domain.n8n_outage import N8nDown, OutageScope

TRANSIENT_STATUSES = frozenset({408, 425, 429})
"""4xx statuses that mean "not now": the request timed out, came too early, or came too often."""
SHORTEST_RATE_WAIT_S, LONGEST_RATE_WAIT_S = 1.0, 3600.0
"""Bounds of the wait for an exceeded rate if the provider asks for none. A shorter wait would retry too often. A
longer one would outlast the limits that providers have."""
LONGEST_RETRY_AFTER_S = 86_400.0
"""The most seconds that a provider may ask for. What it asks for up to a day is never undercut."""
DOUBTFUL_PAUSE_RATIO = 4.0
"""The first pause after an answer that leaves open whether the workflow ran, in units of `RetryPolicy.base`."""
FREE_PAUSE_SHARE = 0.1
"""The longest pause before an n8n that is down is asked once more if that is free, as a share of the outage."""
MAX_RATE_STEPS = 6
"""How many times the wait for an exceeded rate grows."""


@dataclass(frozen=True)
class RetryPolicy:
    """The number of attempts and the pauses between them.

    Args:
        attempts: the limit of attempts that count.
        base: seconds before the second attempt; doubled for each further one.
        cap: the longest pause in seconds.
        hold: seconds of the first snooze while a dependency is down; doubled up to `cap`.
        by_class: attempts for errors of one class, for example `{WorkflowTimeout: 5}`. The closest base class of
            the error decides. `attempts` applies to all others.
        patience: seconds for which an n8n that answers is waited for. Then the message is a dead letter.
        schedule: seconds before each attempt, including the first. If given, it replaces `attempts`, `base`, and
            `by_class`.
    """

    attempts: int = 3
    base: float = 2.0
    cap: float = 60.0
    hold: float = 1.0
    patience: float = 900.0
    by_class: Mapping[type[MsgctlError], int] = field(default_factory=dict)
    schedule: Sequence[float] | None = None

    @property
    def most_attempts(self) -> int:
        """The largest number of attempts that any error gets."""
        return len(self.schedule) if self.schedule is not None else max([self.attempts, *self.by_class.values()])

    def attempts_for(self, error: MsgctlError) -> int:
        """Return the number of attempts that an error of this class gets."""
        if self.schedule is not None:
            return len(self.schedule)
        return next((self.by_class[base] for base in type(error).__mro__ if base in self.by_class), self.attempts)


@dataclass(frozen=True)
class RetryLater:
    """Try again after `delay` seconds. `counts_as_attempt` says whether the failed attempt counts."""

    delay: float
    counts_as_attempt: bool


@dataclass(frozen=True)
class GiveUp:
    """Do not try again: a message becomes a dead letter, a delivery ends as failed."""


def decide(
    policy: RetryPolicy,
    error: AttemptFailed | DeliveryFailed,
    *,
    attempts: int,
    snoozes: int,
    chance: float,
    down_for: float = 0.0,
) -> RetryLater | GiveUp:
    """Decide whether and when a failed attempt is repeated.

    Args:
        policy: the configured policy.
        error: the failure. The pause is never shorter than its `retry_after`.
        attempts: attempts that counted so far, including this one if it counts, from 1.
        snoozes: the number of snoozes in a row before this one, from 0.
        chance: a random number in [0, 1). It spreads the pauses, so that many retries do not come together.
        down_for: seconds since the first time that n8n answered this message that it is down.
    """
    if isinstance(error, N8nDown):
        return _wait_for_n8n(policy, error, snoozes=snoozes, chance=chance, down_for=down_for)
    if error.fault is FaultClass.DEPENDENCY:
        return RetryLater(
            _backoff(policy, policy.hold, snoozes, chance, error.retry_after), counts_as_attempt=False
        )
    if error.fault is FaultClass.FINAL or attempts >= policy.attempts_for(error):
        return GiveUp()
    if policy.schedule is not None:
        # Receivers rely on the published schedule: an attempt may be late by a tenth, but never early.
        delay = max(policy.schedule[attempts] * (1 + 0.1 * chance), error.retry_after or 0.0)
        return RetryLater(delay, counts_as_attempt=True)
    return RetryLater(
        _backoff(policy, policy.base, attempts - 1, chance, error.retry_after), counts_as_attempt=True
    )


def wait_for_rate(first: float, *, snoozes: int, retry_after: float | None) -> RetryLater:
    """Decide how long to wait for an exceeded rate. Such an attempt does not count.

    Args:
        first: seconds of the first wait if the provider names none; each further one is four times as long.
        snoozes: the number of waits in a row before this one, from 0.
        retry_after: seconds that the provider asks for.
    """
    if retry_after is None:
        delay = min(LONGEST_RATE_WAIT_S, first * 4 ** min(MAX_RATE_STEPS, snoozes))
    else:
        delay = min(LONGEST_RETRY_AFTER_S, max(retry_after, SHORTEST_RATE_WAIT_S))
    return RetryLater(delay, counts_as_attempt=False)


def classify_status(status: int) -> FaultClass:
    """Return whether a request with an HTTP status other than 2xx may succeed later.

    Args:
        status: the HTTP status. Redirects are final, because msgctl does not follow them.
    """
    return FaultClass.TRANSIENT if status >= 500 or status in TRANSIENT_STATUSES else FaultClass.FINAL


def parse_retry_after(value: str, *, now: float, longest: float) -> float | None:
    """Parse a Retry-After header (RFC 9110, section 10.2.3).

    Args:
        value: seconds or an HTTP date.
        now: the current time in Unix seconds.
        longest: the largest number of seconds to return, because the server may ask for any number.

    Returns:
        Seconds to wait; None if the header is invalid.
    """
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(float(value), longest)
    try:
        return min(max(0.0, parsedate_to_datetime(value).timestamp() - now), longest)
    except (ValueError, TypeError, OverflowError):
        return None


def _wait_for_n8n(
    policy: RetryPolicy, error: N8nDown, *, snoozes: int, chance: float, down_for: float
) -> RetryLater | GiveUp:
    """Snooze a message while its patience lasts. The last pause ends with the patience.

    If asking is free, no pause is longer than a tenth of the outage so far, because no probe may see its end. If
    the workflow may have run, the pauses are longer.
    """
    if down_for >= policy.patience:
        return GiveUp()
    is_doubtful = error.scope is OutageScope.MAY_HAVE_RUN
    first = max(policy.hold, DOUBTFUL_PAUSE_RATIO * policy.base) if is_doubtful else policy.hold
    delay = min(_backoff(policy, first, snoozes, chance, None), policy.patience - down_for)
    if error.scope in {OutageScope.N8N, OutageScope.NOT_RUN}:
        delay = min(delay, max(policy.hold, FREE_PAUSE_SHARE * down_for))
    return RetryLater(max(delay, error.retry_after or 0.0), counts_as_attempt=False)


def _backoff(policy: RetryPolicy, first: float, doublings: int, chance: float, retry_after: float | None) -> float:
    """Return an exponential pause with ±20 % of jitter, but at least `retry_after`."""
    exponential = min(policy.cap, first * 2.0 ** min(doublings, 32))
    return max(exponential * (0.8 + 0.4 * chance), retry_after or 0.0)
