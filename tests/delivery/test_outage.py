"""Waiting until Redis answers."""

import pytest
from redis.exceptions import ResponseError

from msgctl.delivery.outage import Outage
from msgctl.errors import RedisUnavailable


class Flaky:
    """A step that fails with each of these errors, then succeeds."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)

    async def step(self) -> int:
        """Fail, or return 7."""
        if self._errors:
            raise self._errors.pop(0)
        return 7


async def test_an_outage_is_waited_out() -> None:
    """Any error of the client, by default."""
    flaky = Flaky(RedisUnavailable("down"), ResponseError("odd"))
    assert await Outage("test").insist(flaky.step) == 7


async def test_other_errors_than_those_named_are_raised() -> None:
    """An error of a script is not an outage, and repeating it would not help."""
    outage = Outage("test", faults=(RedisUnavailable,))
    with pytest.raises(ResponseError):
        await outage.insist(Flaky(RedisUnavailable("down"), ResponseError("odd")).step)
