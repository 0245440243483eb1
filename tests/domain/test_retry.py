"""When a failed attempt is tried again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgctl.domain.errors import (
    AgentGone,
    AttemptFailed,
    DeliveryUnknown,
    DependencyDown,
    FaultClass,
    ProviderUnreachable,
    WorkflowTimeout,
)
from msgctl.domain.retry import (
    GiveUp,
    RetryLater,
    RetryPolicy,
    classify_status,
    decide,
    parse_retry_after,
    wait_for_rate,
)

POLICY = RetryPolicy(attempts=3, base=2, cap=60, hold=1)
DAY = 86_400


@given(chance=st.floats(0, 1, exclude_max=True), attempts=st.integers(1, 100))
def test_transient_faults_get_three_attempts(chance: float, attempts: int) -> None:
    """Each counts; the pauses double, within ±20 %, and there are never more than the limit."""
    decision = decide(POLICY, AttemptFailed("broke"), attempts=attempts, snoozes=0, chance=chance)
    if attempts >= 3:
        assert decision == GiveUp()
    else:
        assert isinstance(decision, RetryLater)
        assert decision.counts_as_attempt
        assert 0.8 * 2**attempts <= decision.delay <= 1.2 * 2**attempts


def test_final_faults_get_no_second_attempt() -> None:
    """What cannot get better goes straight to the dead letters."""
    assert decide(POLICY, AgentGone("gone"), attempts=1, snoozes=0, chance=0.5) == GiveUp()


@given(snoozes=st.integers(0, 10_000), attempts=st.integers(1, 10))
def test_a_dependency_that_is_down_snoozes_and_never_counts(snoozes: int, attempts: int) -> None:
    """However long something is down, the message waits, and not longer than the cap between attempts."""
    decision = decide(POLICY, DependencyDown("down"), attempts=attempts, snoozes=snoozes, chance=0.5)
    assert isinstance(decision, RetryLater)
    assert not decision.counts_as_attempt
    assert decision.delay <= POLICY.cap


@pytest.mark.parametrize(("asked", "least"), [(90, 90), (0.1, 1.6)])
def test_a_wait_that_was_asked_for_is_never_undercut(asked: float, least: float) -> None:
    """Retry-After is the least, our own backoff the other least."""
    decision = decide(POLICY, AttemptFailed("slow", retry_after=asked), attempts=1, snoozes=0, chance=0)
    assert isinstance(decision, RetryLater)
    assert decision.delay == pytest.approx(max(asked, least))


def test_one_class_of_error_may_have_attempts_of_its_own() -> None:
    """Five attempts for timeouts, three for everything else that may pass."""
    policy = RetryPolicy(attempts=3, by_class={WorkflowTimeout: 5})

    def attempts_of(error: AttemptFailed) -> int:
        given_up = (n for n in range(1, 100) if decide(policy, error, attempts=n, snoozes=0, chance=0) == GiveUp())
        return next(given_up)

    assert attempts_of(WorkflowTimeout("late")) == 5
    assert attempts_of(AttemptFailed("broke")) == 3
    assert attempts_of(AgentGone("gone")) == 1
    assert policy.most_attempts == 5


def test_the_closest_base_class_decides() -> None:
    """A rule for every failure is overruled by one for a class below."""
    policy = RetryPolicy(by_class={AttemptFailed: 2, WorkflowTimeout: 7})
    assert policy.attempts_for(AttemptFailed("broke")) == 2
    assert policy.attempts_for(WorkflowTimeout("late")) == 7
    assert policy.attempts_for(ProviderUnreachable("down")) == 3


def test_a_schedule_says_when_each_attempt_is() -> None:
    """At most a tenth late, never early, and nothing after the last one."""
    policy = RetryPolicy(schedule=[0, 5, 300])
    error = DeliveryUnknown("no answer")
    assert decide(policy, error, attempts=1, snoozes=0, chance=0) == RetryLater(5, counts_as_attempt=True)
    late = decide(policy, error, attempts=2, snoozes=0, chance=0.5)
    assert isinstance(late, RetryLater)
    assert late.delay == pytest.approx(315)
    assert decide(policy, error, attempts=3, snoozes=0, chance=0) == GiveUp()
    assert policy.most_attempts == 3


def test_an_exceeded_rate_is_waited_for_without_counting() -> None:
    """Four times longer each time, up to an hour; or as long as the provider asks, a second to a day."""
    waits = [wait_for_rate(4, snoozes=n, retry_after=None).delay for n in (0, 1, 2, 5, 6)]
    assert waits == [4, 16, 64, 3600, 3600]
    assert wait_for_rate(4, snoozes=3, retry_after=0) == RetryLater(1, counts_as_attempt=False)
    assert wait_for_rate(4, snoozes=3, retry_after=90).delay == 90
    assert wait_for_rate(4, snoozes=3, retry_after=10_072).delay == 10_072
    assert wait_for_rate(4, snoozes=3, retry_after=1e9).delay == 86_400


@pytest.mark.parametrize(
    ("statuses", "fault"),
    [
        ((408, 425, 429, 500, 502, 503, 504, 599), FaultClass.TRANSIENT),
        ((300, 301, 304, 307, 400, 401, 403, 404, 405, 409, 410, 413, 415, 422, 451), FaultClass.FINAL),
    ],
)
def test_status_tells_whether_another_attempt_may_help(statuses: tuple[int, ...], fault: FaultClass) -> None:
    """Server errors, timeouts, and rate limits may pass. Every other status stays."""
    assert {classify_status(status) for status in statuses} == {fault}


@pytest.mark.parametrize(
    ("value", "now", "seconds"),
    [
        ("120", 0, 120),
        (" 120 ", 0, 120),
        ("Thu, 01 Jan 1970 00:01:00 GMT", 50, 10),
        ("Thu, 01 Jan 1970 00:01:00 GMT", 90, 0),
        ("9" * 400, 0, DAY),
        ("Fri, 31 Dec 9999 00:00:00 GMT", 0, DAY),
        ("soon", 0, None),
        ("-5", 0, None),
        ("1.5", 0, None),
        ("\u0663", 0, None),
        ("", 0, None),
    ],
)
def test_retry_after_is_read_in_both_forms(value: str, now: float, seconds: float | None) -> None:
    """Seconds and HTTP dates are understood, up to a bound; nonsense is ignored."""
    assert parse_retry_after(value, now=now, longest=DAY) == seconds
