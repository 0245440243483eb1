"""The send queue of one socket: in order, bounded, and non-blocking for live frames."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from daemons.gateway.ws.send_queue import MAX_QUEUED_BYTES, SendQueue
from tools.support.daemons import until


class Peer:
    """A client that reads while `reading` is set."""

    def __init__(self) -> None:
        self.reading = asyncio.Event()
        self.reading.set()
        self.got: list[Any] = []
        self.given_up = 0

    async def send(self, message: Any) -> None:
        """ASGI's `send`."""
        await self.reading.wait()
        self.got.append(message.get("text", message.get("code")))

    def give_up(self) -> None:
        """Called when it is too slow."""
        self.given_up += 1


@pytest.fixture
async def peer() -> Peer:
    """A client that reads."""
    return Peer()


@pytest.fixture
async def outbox(peer: Peer) -> AsyncIterator[SendQueue]:
    """The send queue of the client, with 8 frames and a short timeout."""
    outbox = SendQueue(peer.send, max_frames=8, timeout=0.2, on_slow_client=peer.give_up)
    yield outbox
    await outbox.stop()


async def test_frames_are_written_in_order(peer: Peer, outbox: SendQueue) -> None:
    """Frames are sent first in, first out, and a close comes last."""
    outbox.put(["1", "2"])
    outbox.put(["3"])
    outbox.close(1001, "bye")
    outbox.put(["4"])
    await until(lambda: peer.got == ["1", "2", "3", 1001], "all to be written")


async def test_too_many_waiting_frames_drop_the_client(peer: Peer, outbox: SendQueue) -> None:
    """The ninth waiting frame drops the client, once, and all waiting frames."""
    peer.reading.clear()
    outbox.put(map(str, range(7)), held=1)
    assert peer.given_up == 0
    outbox.put(["8"], held=1)
    outbox.put(["9"])
    assert peer.given_up == 1


async def test_too_many_held_frames_drop_the_client(peer: Peer, outbox: SendQueue) -> None:
    """Frames that the session holds back behind a slow answer count towards the limit too."""
    outbox.put([], held=8)
    assert peer.given_up == 0
    outbox.put([], held=9)
    assert peer.given_up == 1


async def test_too_many_waiting_bytes_drop_the_client(peer: Peer, outbox: SendQueue) -> None:
    """One large reply does not drop the client, but another one behind it does."""
    peer.reading.clear()
    outbox.put(["x" * (MAX_QUEUED_BYTES + 1)])
    assert peer.given_up == 0
    outbox.put(["y"])
    assert peer.given_up == 1


async def test_frame_that_is_not_read_in_time_drops_the_client(peer: Peer, outbox: SendQueue) -> None:
    """A client that stops reading is dropped after the send timeout, also during its close."""
    peer.reading.clear()
    outbox.put(["1"])
    outbox.close(4401, "token expired")
    await until(lambda: peer.given_up == 1, "the client to be given up")


async def test_requested_frames_wait_for_the_client(peer: Peer, outbox: SendQueue) -> None:
    """Many more frames than may wait are written to a client that reads, and none is lost."""
    await outbox.put_with_backpressure(map(str, range(100)))
    await until(lambda: peer.got == [str(number) for number in range(100)], "all to be written")
    assert peer.given_up == 0


async def test_put_with_backpressure_ends_with_the_client(peer: Peer, outbox: SendQueue) -> None:
    """`put_with_backpressure` returns when the client is dropped."""
    peer.reading.clear()
    await asyncio.wait_for(outbox.put_with_backpressure(map(str, range(100))), 30)
    assert peer.given_up == 1


async def test_disconnected_client_is_no_error() -> None:
    """The OSError of uvicorn ends the writer and `put_with_backpressure`."""

    async def gone(_: Any) -> None:
        raise OSError("gone")

    outbox = SendQueue(gone, max_frames=8, timeout=1, on_slow_client=lambda: pytest.fail("given up"))
    await asyncio.wait_for(outbox.put_with_backpressure(map(str, range(100))), 30)
    await outbox.stop()
