"""How a daemon gets on, as its loops tell it; what the watchdog judges by."""

import time


class LivenessTracker:
    """When each loop of a daemon last came round."""

    def __init__(self) -> None:
        self._beats: dict[str, float] = {}
        self.progressed_at = time.monotonic()
        """When it last took or ended a piece of work; at first, when it began."""

    def beat(self, loop: str) -> None:
        """This loop has come round, and will again soon."""
        self._beats[loop] = time.monotonic()

    def expect(self, loop: str) -> None:
        """From now on, unless it was due already, this loop has something to do and ought to mark that it did."""
        self._beats.setdefault(loop, time.monotonic())

    def idle(self, loop: str) -> None:
        """Nothing is expected of this loop until its next mark: it waits for what may take long."""
        self._beats.pop(loop, None)

    def is_idle(self, loop: str) -> bool:
        """Whether nothing is expected of this loop."""
        return loop not in self._beats

    def progressed(self) -> None:
        """A piece of work was taken or ended."""
        self.progressed_at = time.monotonic()

    def stalled(self, since: float) -> str:
        """The first loop that came round last before `since` and does not rest; empty: none."""
        return next((loop for loop, at in self._beats.items() if at < since), "")
