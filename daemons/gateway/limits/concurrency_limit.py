"""The work a gateway has in hand: bounded, so that too much is refused at once instead of served too late."""

from types import TracebackType

from msgctl.domain.errors import Unavailable

OVERLOAD_RETRY_AFTER_S = 1.0
"""Seconds after which there is likely less in hand."""


class ConcurrencyLimit:
    """Counts what is worked on, as a context around each piece.

    Args:
        limit: pieces at a time; 0: no bound.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._in_flight = 0

    def __enter__(self) -> None:
        """Take one more.

        Raises:
            Unavailable: there is as much in hand as there may be.
        """
        if self._limit and self._in_flight >= self._limit:
            raise Unavailable(
                "The gateway has as much in hand as it can serve in time.", retry_after=OVERLOAD_RETRY_AFTER_S
            )
        self._in_flight += 1

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        """One less."""
        self._in_flight -= 1
