"""What one socket waits with."""

import asyncio
import sys

import pytest

from daemons.gateway.ws.send_queue import SlimEvent, SlimQueue


async def test_a_gate_lets_all_through_once_it_is_open() -> None:
    """Everybody who waits is woken, and while it stands open nobody waits; closed again, it holds."""
    gate = SlimEvent()
    waiting = [asyncio.create_task(gate.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    gate.set()
    await asyncio.gather(*waiting)
    await gate.wait()
    gate.clear()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(gate.wait(), 0.01)


async def test_who_gives_up_at_a_gate_harms_nobody() -> None:
    """One of two who wait is cancelled; the other is let through."""
    gate = SlimEvent()
    one, other = (asyncio.create_task(gate.wait()) for _ in range(2))
    await asyncio.sleep(0)
    one.cancel()
    await asyncio.sleep(0)
    gate.set()
    await other
    assert one.cancelled()


async def test_a_mailbox_keeps_the_order() -> None:
    """What comes before, between and while somebody waits is taken in its order."""
    mailbox = SlimQueue[int]()
    assert mailbox.empty()
    for number in range(3):
        mailbox.put_nowait(number)
    taken = [await mailbox.get()]
    mailbox.put_nowait(3)
    taken += [await mailbox.get() for _ in range(3)]
    assert mailbox.empty()
    coming = asyncio.create_task(mailbox.get())
    await asyncio.sleep(0)
    mailbox.put_nowait(4)
    mailbox.put_nowait(5)
    assert [*taken, await coming, await mailbox.get()] == [0, 1, 2, 3, 4, 5]


async def test_a_mailbox_loses_nothing_with_its_reader() -> None:
    """A reader that is cancelled while something comes leaves it to the next one."""
    mailbox = SlimQueue[str]()
    reading = asyncio.create_task(mailbox.get())
    await asyncio.sleep(0)
    mailbox.put_nowait("a")
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert await mailbox.get() == "a"


async def test_they_are_small() -> None:
    """Idle, each is far smaller than a single deque: that is what they are for."""
    gate, mailbox = SlimEvent(), SlimQueue[int]()
    assert sys.getsizeof(gate) < 100
    members = (mailbox._incoming, mailbox._outgoing)
    assert sys.getsizeof(mailbox) + sum(map(sys.getsizeof, members)) < 250
