"""How a daemon gets on, as its loops tell it; what the watchdog judges by."""

import time


class Pace:
    """When each loop of a daemon last came round."""

    def __init__(self) -> None:
        self._rounds: dict[str, float] = {}
        self.moved_at = time.monotonic()
        """When it last took or ended a piece of work; at first, when it began."""

    def mark(self, loop: str) -> None:
        """This loop has come round, and will again soon."""
        self._rounds[loop] = time.monotonic()

    def expect(self, loop: str) -> None:
        """From now on, unless it was due already, this loop has something to do and ought to mark that it did."""
        self._rounds.setdefault(loop, time.monotonic())

    def rest(self, loop: str) -> None:
        """Nothing is expected of this loop until its next mark: it waits for what may take long."""
        self._rounds.pop(loop, None)

    def rests(self, loop: str) -> bool:
        """Whether nothing is expected of this loop."""
        return loop not in self._rounds

    def moved(self) -> None:
        """A piece of work was taken or ended."""
        self.moved_at = time.monotonic()

    def stuck(self, since: float) -> str:
        """The first loop that came round last before `since` and does not rest; empty: none."""
        return next((loop for loop, at in self._rounds.items() if at < since), "")
