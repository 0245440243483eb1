"""When a failed attempt is tried again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgctl.errors import FaultClass
from msgctl.retry import Again, Never, Policy, decide

POLICY = Policy(attempts=3, base=2, cap=60, hold=1)


@given(chance=st.floats(0, 1, exclude_max=True), attempts=st.integers(1, 100))
def test_transient_faults_get_three_attempts(chance: float, attempts: int) -> None:
    """Charged, doubled, within ±20 %, and never more than the limit."""
    decision = decide(POLICY, FaultClass.TRANSIENT, attempts=attempts, holds=0, chance=chance)
    if attempts >= 3:
        assert decision == Never()
    else:
        assert isinstance(decision, Again)
        assert decision.charged
        assert 0.8 * 2**attempts <= decision.delay <= 1.2 * 2**attempts


def test_final_faults_get_no_second_attempt() -> None:
    """What cannot get better goes straight to the dead letters."""
    assert decide(POLICY, FaultClass.FINAL, attempts=1, holds=0, chance=0.5) == Never()


@given(holds=st.integers(0, 10_000), attempts=st.integers(1, 10))
def test_a_dependency_holds_for_ever_and_charges_nothing(holds: int, attempts: int) -> None:
    """However long something is down, the message waits, and not longer than the cap between looks."""
    decision = decide(POLICY, FaultClass.DEPENDENCY, attempts=attempts, holds=holds, chance=0.5)
    assert isinstance(decision, Again)
    assert not decision.charged
    assert decision.delay <= POLICY.cap


@pytest.mark.parametrize(("asked", "least"), [(90, 90), (0.1, 1.6)])
def test_a_wait_that_was_asked_for_is_never_undercut(asked: float, least: float) -> None:
    """Retry-After is the least, our own backoff the other least."""
    decision = decide(POLICY, FaultClass.TRANSIENT, attempts=1, holds=0, chance=0, retry_after=asked)
    assert isinstance(decision, Again)
    assert decision.delay == pytest.approx(max(asked, least))
