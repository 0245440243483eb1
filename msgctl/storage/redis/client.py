"""The Redis client. Its commands raise `RedisUnavailable` whenever Redis cannot serve."""

from collections import Counter
from typing import Any

from redis.asyncio.connection import Connection
from redis.typing import EncodableT

from msgctl.domain.errors import RedisUnavailable
from msgctl.storage.redis.decoded import DecodedPipeline, DecodedPubSub, DecodedRedis
from msgctl.storage.redis.faults import FAULTS, MOVING_STATES, as_unavailable, strip_command
from msgctl.storage.redis.pool import RedisPool

DEPARTURES: Counter[str] = Counter()
"""By address: how many times a client of this process left its server because that refused a write. A subscription
gets no such refusal, so it looks here whether it may be subscribed at a server that was demoted."""


class RedisPipeline(DecodedPipeline):
    """Commands that are sent together.

    Args:
        client: the client that sends them.
        transaction: whether Redis runs them as one, in MULTI and EXEC.
    """

    def __init__(self, client: "RedisClient", *, transaction: bool) -> None:
        super().__init__(client.connection_pool, client.response_callbacks, transaction, None)
        self._client = client

    async def execute(self, raise_on_error: bool = True) -> list[Any]:  # noqa: FBT001, FBT002 - redis-py's signature
        """Send the commands and return their answers.

        Args:
            raise_on_error: raise the first error reply; otherwise each stands among the answers.

        Raises:
            RedisUnavailable: Redis did not answer, or refused a command because of its state.
        """
        try:
            answers = await super().execute(raise_on_error)
        except FAULTS as error:
            if unavailable := await self._client.translate(error):
                raise unavailable from error
            error.args = (strip_command(str(error)),)  # the text of a message is in the quoted command
            raise
        if raise_on_error:
            return answers
        return [
            answer if not isinstance(answer, Exception) else await self._client.translate(answer) or answer
            for answer in answers
        ]


class RedisSubscription(DecodedPubSub):
    """A connection that receives what is published.

    Args:
        client: the client whose connection it takes.
        options: as of redis-py's `PubSub`.
    """

    def __init__(self, client: "RedisClient", **options: Any) -> None:
        self._address = client.address
        self._departures = DEPARTURES[client.address]
        super().__init__(client.connection_pool, **options)

    async def execute_command(self, *args: EncodableT) -> None:
        """Send a command; its answer is received like a message."""
        try:
            await super().execute_command(*args)
        except FAULTS as error:
            if unavailable := as_unavailable(error, self._address):
                raise unavailable from error
            raise

    async def parse_response(self, block: bool = True, timeout: float = 0) -> Any:  # noqa: ASYNC109, FBT001, FBT002 - redis-py's signature
        """Receive one message."""
        try:
            if self._departures != DEPARTURES[self._address]:
                self._departures = DEPARTURES[self._address]
                await self._leave_server()
            return await super().parse_response(block, timeout)
        except FAULTS as error:
            if unavailable := as_unavailable(error, self._address):
                raise unavailable from error
            raise

    async def _leave_server(self) -> None:
        """Close the connection; redis-py then makes a new one and subscribes again."""
        connection: Connection | None = self.connection
        if connection is not None:
            await connection.disconnect()

    async def on_connect(self, connection: Connection) -> None:
        """Resubscribe on a new connection, inside redis-py's own retries, which know only redis-py's errors."""
        try:
            await super().on_connect(connection)
        except RedisUnavailable as error:
            raise error.__cause__ or error from None


class RedisClient(DecodedRedis):
    """A client whose commands raise `RedisUnavailable` while Redis is down, starting, full or read-only.

    Other error replies (NOSCRIPT, WRONGTYPE, BUSYGROUP, NOPERM, ...) remain redis-py's `ResponseError`.

    Args:
        pool: its connections, which it closes; they must decode answers.
        address: where Redis is, for error messages; without the password.
    """

    def __init__(self, pool: RedisPool, address: str) -> None:
        super().__init__(connection_pool=pool)
        self._pool = pool
        self.auto_close_connection_pool = True
        self.address = address

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Run one command.

        Raises:
            RedisUnavailable: Redis did not answer, or refused the command because of its state.
        """
        try:
            return await super().execute_command(*args, **options)
        except FAULTS as error:
            if unavailable := await self.translate(error):
                raise unavailable from error
            raise

    async def info(self, section: str | None = None, *sections: str, **options: Any) -> dict[str, Any]:
        """Return what Redis says about itself.

        Args:
            section: the name of a section; None for the default ones.
            sections: further ones. Each is asked for alone, because Redis 6.2 takes one at a time.
            options: as of redis-py.
        """
        found: dict[str, Any] = {}
        for name in (section, *sections):
            words = ("INFO",) if name is None else ("INFO", name)
            found |= await self.execute_command(*words, **options)
        return found

    async def translate(self, error: Exception) -> RedisUnavailable | None:
        """Return the error that callers should see. Leave the server if another one may have the data now.

        A connection to a primary that was demoted stays open and refuses every write. Only a new connection
        resolves the address again, and finds the new primary.

        Args:
            error: raised by redis-py, or an error reply among answers.

        Returns:
            None if `error` is a fault of the command itself.
        """
        unavailable = as_unavailable(error, self.address)
        if unavailable and unavailable.state in MOVING_STATES and await self._pool.leave_server():
            DEPARTURES[self.address] += 1
        return unavailable

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> RedisPipeline:  # noqa: ARG002, FBT001, FBT002 - redis-py's signature
        """A pipeline of this client."""
        return RedisPipeline(self, transaction=transaction)

    def pubsub(self, **options: Any) -> RedisSubscription:
        """A subscription of this client."""
        return RedisSubscription(self, **options)
