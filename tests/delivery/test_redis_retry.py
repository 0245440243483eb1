"""`RedisRetry`: waiting until Redis answers."""

import pytest
from redis.exceptions import ResponseError

from msgctl.domain.errors import RedisUnavailable
from msgctl.storage.redis.retry import RedisRetry


class Flaky:
    """Return a step that fails with each of these errors, then succeeds."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)

    async def step(self) -> int:
        """Fail, or return 7."""
        if self._errors:
            raise self._errors.pop(0)
        return 7


async def test_step_is_repeated_during_an_outage() -> None:
    """By default, any error of the client counts as an outage."""
    flaky = Flaky(RedisUnavailable("down"), ResponseError("odd"))
    assert await RedisRetry("test").run_until_success(flaky.step) == 7


async def test_errors_other_than_the_listed_ones_are_raised() -> None:
    """A script error is not an outage, and a repetition would fail too."""
    outage = RedisRetry("test", faults=(RedisUnavailable,))
    with pytest.raises(ResponseError):
        await outage.run_until_success(Flaky(RedisUnavailable("down"), ResponseError("odd")).step)
