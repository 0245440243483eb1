"""The client of Redis, whose commands raise `RedisUnavailable` in every state in which Redis cannot serve."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis import exceptions
from redis.asyncio.connection import Connection, ConnectionPool
from redis.typing import EncodableT

from msgctl.domain.errors import RedisUnavailable
from msgctl.storage.redis.decoded import DecodedPipeline, DecodedPubSub, DecodedRedis

FAULTS = (exceptions.RedisError, OSError)
"""Everything redis-py raises about a command; `as_unavailable` tells which of them are outages."""
CONNECTION_FAULTS = (exceptions.ConnectionError, exceptions.TimeoutError, OSError)
REFUSED = (exceptions.ReadOnlyError, exceptions.OutOfMemoryError, exceptions.MasterDownError)
REFUSALS = ("MISCONF", "NOREPLICAS", "BUSY ", "OOM", "LOADING", "MASTERDOWN")
"""Prefixes of error replies that describe a passing state of Redis: disk, `min-replicas-to-write`, a script that
does not end, and, where redis-py has left the prefix, memory, startup and failover."""
CERTIFICATE_FAULT = re.compile(r"certificate verify failed: (.+?)\.? \(_ssl")
"""OpenSSL's reason, within the text redis-py makes of it."""


class RedisPipeline(DecodedPipeline):
    """Commands that are sent together.

    Args:
        client: the client that sends them.
        transaction: whether Redis runs them as one, in MULTI and EXEC.
    """

    def __init__(self, client: "RedisClient", *, transaction: bool) -> None:
        super().__init__(client.connection_pool, client.response_callbacks, transaction, None)
        self._address = client.address

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
            if unavailable := as_unavailable(error, self._address):
                raise unavailable from error
            raise
        if raise_on_error:
            return answers
        return [
            answer if not isinstance(answer, Exception) else as_unavailable(answer, self._address) or answer
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
            return await super().parse_response(block, timeout)
        except FAULTS as error:
            if unavailable := as_unavailable(error, self._address):
                raise unavailable from error
            raise

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

    def __init__(self, pool: ConnectionPool, address: str) -> None:
        super().__init__(connection_pool=pool)
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
            if unavailable := as_unavailable(error, self.address):
                raise unavailable from error
            raise

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> RedisPipeline:  # noqa: ARG002, FBT001, FBT002 - redis-py's signature
        """A pipeline of this client."""
        return RedisPipeline(self, transaction=transaction)

    def pubsub(self, **options: Any) -> RedisSubscription:
        """A subscription of this client."""
        return RedisSubscription(self, **options)


def as_unavailable(error: Exception, address: str) -> RedisUnavailable | None:
    """Return the error callers should see for an outage; None if `error` is a fault of the command itself.

    Args:
        error: raised by redis-py.
        address: where Redis is.
    """
    if isinstance(error, CONNECTION_FAULTS):
        return no_answer(error, address)
    refused = isinstance(error, REFUSED) or str(error).startswith(REFUSALS)
    if refused and isinstance(error, exceptions.ResponseError):
        return RedisUnavailable(f"Redis at {address} refuses writes: {error}")
    return None


@contextmanager
def outages_translated(address: str) -> Iterator[None]:
    """Translate the outages of another client than `RedisClient`, such as the blocking one that RQ's code uses.

    Args:
        address: where Redis is.

    Raises:
        RedisUnavailable: Redis did not answer, or refused a command because of its state.
    """
    try:
        yield
    except FAULTS as error:
        if unavailable := as_unavailable(error, address):
            raise unavailable from error
        raise


def no_answer(error: Exception, address: str) -> RedisUnavailable:
    """Return the error of a Redis that could not be talked to.

    Args:
        error: what happened instead.
        address: where Redis is.
    """
    return RedisUnavailable(f"Redis at {address} {_explain(error)}")


def _explain(error: Exception) -> str:
    """Say what failed and what to do; redis-py reports a refused login or certificate as a lost connection too."""
    if isinstance(error, exceptions.AuthenticationError):
        return "wants a login, or refuses the one given. Set [redis] username and password, or REDIS_PASSWORD."
    if found := CERTIFICATE_FAULT.search(str(error)):
        remedy = "Set [redis] tls_ca, and host as the certificate names it."
        return f"shows a certificate that is not taken: {found[1]}. {remedy}"
    return (
        f"does not answer ({type(error).__name__}). "
        "Is it running? Set [redis] host and port, or REDIS_HOST and REDIS_PORT."
    )
