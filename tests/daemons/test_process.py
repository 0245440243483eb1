"""What every daemon does alike."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from daemons.runtime import lifecycle
from tools.support.daemons import until


class Ring:
    """Refers to itself, so that only the garbage collector frees it."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture
def collector() -> Iterator[None]:
    """The garbage collector as it was, afterwards."""
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


@pytest.mark.usefixtures("collector")
async def test_garbage_does_not_gather_for_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that makes one ring now and then frees it soon, not when there are 10,000."""
    monkeypatch.setattr(lifecycle, "GC_INTERVAL_S", 0.05)
    lifecycle.Lifecycle().notify_ready("at work")
    for _ in range(2):
        gone = weakref.ref(Ring())
        assert gone(), "only the collector frees it"
        await until(lambda gone=gone: gone() is None, "the ring is freed")


@pytest.mark.usefixtures("collector")
async def test_garbage_that_was_looked_at_while_it_lived_goes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """What outlived some looks is old, and is looked at more seldom; but it is."""
    monkeypatch.setattr(lifecycle, "GC_INTERVAL_S", 0.002)
    life = lifecycle.Lifecycle()
    life.notify_ready("at work")
    old = Ring()
    gone = weakref.ref(old)
    await until(lambda: life._gc_runs > 45, "it to become old")
    del old
    await until(lambda: gone() is None, "the ring is freed")
