"""Random bytes, half frames and strange JSON: every one is answered, nothing breaks, the next client is served."""

import asyncio
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from websockets.exceptions import ConnectionClosed

from msgctl.agents.agents import Agent
from tests.support.gateway_clients import Client
from tools.support.daemons import PATIENCE

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "20"))
"""How many of each kind are tried: few in `make test`, many in `make fuzz`."""
PATIENT = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

text = st.text(st.characters(), max_size=40)  # lone surrogates among it
anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)
names = st.sampled_from(
    ["agentId", "message", "content", "conversationId", "channel", "channelMetadata", "priority", "messageId"]
)
nearly = st.dictionaries(names, anything, max_size=8)
frames = st.fixed_dictionaries(
    {"type": st.sampled_from(["message", "resume", "ping", "pong"]) | text, "data": nearly | anything}
)
deep = st.integers(1, 3000).map(lambda depth: b'{"channelMetadata":' + b"[" * depth + b"]" * depth + b"}")


def written(value: Any) -> bytes:
    """JSON as the library writes it, or with what no UTF-8 can hold."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


HANDSHAKE = (
    "GET /ws/chat?token={} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
REQUESTS = [
    b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /api/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n{}",
    b"POST /api/messages HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /api/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
    b"GET /%ff%00 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfe\r\n\r\n",
    b"GET /ws/chat?token=%ff&token=%00 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    HANDSHAKE.format("%F0%9F.x.y").encode() + b"\x81\x85",
]


def mutilated(request: bytes) -> st.SearchStrategy[bytes]:
    """A request that is cut off, or has foreign bytes in the middle."""
    cut = st.integers(0, len(request))
    return st.builds(
        lambda at, bytes_: request[:at] + bytes_ + request[at:], cut, st.binary(max_size=8)
    ) | cut.map(lambda at: request[:at])


documents = st.one_of(
    st.binary(max_size=200),
    (nearly | anything).map(written),
    nearly.map(lambda value: written(value)[: len(written(value)) // 2]),
    deep,
)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """No line of the gateway's own tells of a fault."""
    with capture_logs() as logged:
        yield
    assert [line for line in logged if line["log_level"] in {"error", "critical", "warning"}] == []


@PATIENT
@given(body=documents)
async def test_random_body_is_refused(client: Client, agent: Agent, body: bytes) -> None:
    """Whatever the body, the answer is a refusal in the one shape."""
    answer = await client.post(body)
    assert answer.status in {400, 404, 413, 422}, answer
    assert answer.code


@PATIENT
@given(head=st.binary(max_size=120) | st.sampled_from(REQUESTS).flatmap(mutilated))
async def test_random_request_is_answered_or_closed(client: Client, agent: Agent, head: bytes) -> None:
    """Bytes that may be no HTTP at all, and requests that break off, hurt nobody else."""
    reader, writer = await asyncio.open_connection(*client.url.removeprefix("http://").split(":"))
    writer.write(head)
    writer.write_eof()
    with suppress(ConnectionError):
        await asyncio.wait_for(reader.read(), PATIENCE)
    writer.close()
    assert (await client.get("/healthz")).status == 200


@PATIENT
@given(said=frames.map(written) | st.binary(max_size=200) | deep, as_text=st.booleans())
async def test_random_frame_is_answered(client: Client, agent: Agent, said: bytes, as_text: bool) -> None:
    """A frame of any content is answered, or ends its own socket where it is not even UTF-8."""
    async with client.socket() as chat:
        await chat.hear("connected")
        await chat.socket.send(said, text=as_text)
        with suppress(ConnectionClosed):
            answer = await chat.hear()
            assert answer["type"] in {"error", "pong", "resumed"}, answer
            await chat.say("ping")
            while (await chat.hear())["type"] != "pong":
                pass
            return
        assert chat.socket.close_code in {1007, 1009}, chat.socket.close_code


@PATIENT
@given(raw=st.binary(min_size=1, max_size=120))
async def test_invalid_bytes_end_only_their_own_socket(client: Client, agent: Agent, raw: bytes) -> None:
    """Half frames and broken ones cost their sender the socket; the next client is served."""
    reader, writer = await asyncio.open_connection(*client.url.removeprefix("http://").split(":"))
    writer.write(HANDSHAKE.format(client.token).encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 101")
    writer.write(raw)
    writer.write_eof()
    with suppress(ConnectionError):
        await asyncio.wait_for(reader.read(), PATIENCE)
    writer.close()
    async with client.socket() as chat:
        await chat.hear("connected")
