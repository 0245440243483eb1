"""The connections to n8n: kept, given up, and every end that an answer can have."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from msgctl.domain.errors import ConfigurationError
from msgctl.http.pool import ConnectionBroken, HttpPool, PooledConnection, ResponseTooLarge
from tools.support.daemons import until

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Scripted:
    """A server that answers each request with the next of some raw answers, and remembers what came.

    An answer that ends in `None` of the list closes the connection after the one before it.
    """

    def __init__(self, answers: list[bytes | None]) -> None:
        self.answers = answers
        self.requests: list[bytes] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.connections += 1
        try:
            while self.answers:
                head = await reader.readuntil(b"\r\n\r\n")
                self.requests.append(
                    head + await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split()[0]))
                )
                writer.write(self.answers.pop(0) or b"")
                if self.answers and self.answers[0] is None:
                    self.answers.pop(0)
                    break
        except asyncio.IncompleteReadError:
            pass  # the client has ended it
        finally:
            writer.close()


@asynccontextmanager
async def talk(
    *answers: bytes | None, path: str = "", max_body: int = 100
) -> AsyncIterator[tuple[HttpPool, Scripted]]:
    """A pool and the server it speaks to."""
    script = Scripted(list(answers))
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    pool = HttpPool(
        f"http://ana:s%3Acret@127.0.0.1:{port}{path}", connect_timeout_s=5, keep_alive_s=4, max_body_bytes=max_body
    )
    try:
        yield pool, script
    finally:
        pool.close()
        server.close()


async def post(pool: HttpPool) -> tuple[int, bytes]:
    """One request, and what came of it."""
    answer = await pool.post("/webhook/a", {"X-One": "1"}, b"{}")
    return answer.status, answer.body


async def test_a_connection_is_kept_and_the_request_is_whole() -> None:
    """Two requests go over one connection, below the path of the URL, with its login."""
    async with talk(OK, OK, path="/n8n/") as (pool, script):
        assert [await post(pool), await post(pool)] == [(200, b"ok")] * 2
    assert script.connections == 1
    lines = script.requests[0].decode().split("\r\n")
    assert lines[0] == "POST /n8n/webhook/a HTTP/1.1"
    assert {"X-One: 1", "Content-Length: 2", "Authorization: Basic YW5hOnM6Y3JldA=="} <= set(lines)
    assert lines[-1] == "{}"


async def test_requests_at_a_time_have_a_connection_each() -> None:
    """None waits for the other."""
    async with talk(OK, OK, OK) as (pool, script):
        assert await asyncio.gather(*(post(pool) for _ in range(3))) == [(200, b"ok")] * 3
    assert script.connections == 3


@pytest.mark.parametrize(
    "answers",
    [
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n"],
        [b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK],
        [b"HTTP/1.1 200 OK\r\n\r\nok", None],
        [b"HTTP/1.0 200 OK\r\n\r\nok", None],
    ],
    ids=["chunked", "interim", "until the end", "HTTP/1.0"],
)
async def test_each_way_to_end_an_answer_is_read(answers: list[bytes | None]) -> None:
    """By chunks, after an interim answer, or by the end of the connection; the next request is answered too."""
    async with talk(*answers, OK) as (pool, _):
        assert [await post(pool), await post(pool)] == [(200, b"ok")] * 2


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", ConnectionBroken),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", ConnectionBroken),
        (b"SSH-2.0-OpenSSH\r\n", ConnectionBroken),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, ConnectionBroken),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n" + b"x" * 101, ResponseTooLarge),
    ],
    ids=["nothing", "half", "no HTTP", "endless head", "too large"],
)
async def test_a_broken_answer_is_an_error_and_costs_its_connection(answer: bytes, error: type[Exception]) -> None:
    """And only that: the next request gets a new one."""
    async with talk(answer, None, OK) as (pool, script):
        with pytest.raises(error):
            await post(pool)
        assert await post(pool) == (200, b"ok")
    assert script.connections == 2


async def test_a_refusal_is_told_however_long_it_is() -> None:
    """Its status is what counts."""
    async with talk(b"HTTP/1.1 500 No\r\nContent-Length: 101\r\n\r\n" + b"x" * 101) as (pool, _):
        assert (await post(pool))[0] == 500


async def test_a_connection_that_the_server_closed_is_not_used() -> None:
    """One that ended while it was idle is no reason to fail a request."""
    async with talk(OK, None, OK) as (pool, script):
        await post(pool)
        await until(lambda: not any(one.is_usable for one in pool._idle), "the end to be noticed")
        assert await post(pool) == (200, b"ok")
    assert script.connections == 2


async def test_idle_connections_end_when_they_are_old() -> None:
    """Also those that no request has needed since: a burst leaves no sockets to n8n behind."""
    async with talk(OK, OK, OK, OK) as (pool, script):
        await asyncio.gather(*(post(pool) for _ in range(3)))
        burst = list(pool._idle)
        for connection in burst[:2]:
            connection.idle_since -= 5
        await post(pool)
        assert list(pool._idle) == burst[2:]
        assert not any(connection.is_usable for connection in burst[:2])
    assert script.connections == 3


@pytest.mark.parametrize("answer", [OK, b"HTTP/1.1 200 OK\r\n\r\nok", b"SSH-2.0-OpenSSH\r\n"])
async def test_a_connection_that_ended_is_gone_at_once(answer: bytes) -> None:
    """It does not wait for the garbage collector, which comes by once in minutes: a worker makes thousands."""
    made: list[weakref.ref[PooledConnection]] = []
    async with talk(answer, None, OK) as (pool, _):
        connect = pool._connect

        async def remember() -> PooledConnection:
            connection = await connect()
            made.append(weakref.ref(connection))
            return connection

        pool._connect = remember  # type: ignore[method-assign]
        gc.disable()
        try:
            with suppress(ConnectionBroken):
                await post(pool)
            await until(lambda: not any(one.is_usable for one in pool._idle), "the connection to end")
            assert await post(pool) == (200, b"ok")
            await until(lambda: made[0]() is None, "the connection to be gone")
        finally:
            gc.enable()


async def test_a_cancelled_request_leaves_no_connection_behind() -> None:
    """Its late answer would be taken for the next one's."""
    async with talk(b"HTTP/1.1 103 Early Hints\r\n\r\n", OK, OK) as (pool, script):
        waiting = asyncio.create_task(post(pool))
        await until(lambda: bool(script.requests), "the request to arrive")
        waiting.cancel()
        await asyncio.wait([waiting])
        assert await post(pool) == (200, b"ok")
    assert script.connections == 2


@pytest.mark.parametrize("url", ["ftp://n8n", "n8n:5678", "http://"])
def test_a_url_of_something_else_is_refused(url: str) -> None:
    """By name, at the start."""
    with pytest.raises(ConfigurationError, match="no URL"):
        HttpPool(url, connect_timeout_s=1, keep_alive_s=1, max_body_bytes=1)
