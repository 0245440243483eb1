"""The garbage collection of a daemon."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from daemons.runtime import lifecycle
from tools.support.daemons import until


class Cycle:
    """Refers to itself, so only the garbage collector frees it."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture
def collector() -> Iterator[None]:
    """Restore the garbage collector after the test."""
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


@pytest.mark.usefixtures("collector")
async def test_reference_cycles_are_collected_by_the_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon frees a single reference cycle soon, not when there are 10,000."""
    monkeypatch.setattr(lifecycle, "GC_INTERVAL_S", 0.05)
    lifecycle.Lifecycle().notify_ready("at work")
    for _ in range(2):
        gone = weakref.ref(Cycle())
        assert gone(), "only the collector frees it"
        await until(lambda gone=gone: gone() is None, "the ring is freed")


@pytest.mark.usefixtures("collector")
async def test_old_reference_cycles_are_collected_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cycle that survived some collections is collected more rarely, but it is."""
    monkeypatch.setattr(lifecycle, "GC_INTERVAL_S", 0.002)
    daemon_lifecycle = lifecycle.Lifecycle()
    daemon_lifecycle.notify_ready("at work")
    old = Cycle()
    gone = weakref.ref(old)
    await until(lambda: daemon_lifecycle._gc_runs > 45, "it to become old")
    del old
    await until(lambda: gone() is None, "the ring is freed")
