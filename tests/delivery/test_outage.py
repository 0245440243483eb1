"""Waiting until Redis answers."""

import pytest
from redis.exceptions import ResponseError

from msgctl.domain.errors import RedisUnavailable
from msgctl.storage.redis.retry import RedisRetry


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
    assert await RedisRetry("test").run_until_success(flaky.step) == 7


async def test_other_errors_than_those_named_are_raised() -> None:
    """An error of a script is not an outage, and repeating it would not help."""
    outage = RedisRetry("test", faults=(RedisUnavailable,))
    with pytest.raises(ResponseError):
        await outage.run_until_success(Flaky(RedisUnavailable("down"), ResponseError("odd")).step)
