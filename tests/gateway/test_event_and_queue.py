"""The small event and queue of a socket."""

import asyncio
import sys

import pytest

from daemons.gateway.ws.send_queue import SlimEvent, SlimQueue


async def test_event_wakes_all_waiting_tasks() -> None:
    """`set` wakes all waiting tasks. While it is set nothing waits, and after `clear` tasks wait again."""
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


async def test_cancelled_wait_for_an_event_has_no_effect() -> None:
    """One of two waiting tasks is cancelled, and the other is woken."""
    gate = SlimEvent()
    one, other = (asyncio.create_task(gate.wait()) for _ in range(2))
    await asyncio.sleep(0)
    one.cancel()
    await asyncio.sleep(0)
    gate.set()
    await other
    assert one.cancelled()


async def test_queue_keeps_the_order() -> None:
    """Items that arrive before, between, and during waits are taken in order."""
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


async def test_queue_loses_no_item_with_its_reader() -> None:
    """A reader that is cancelled while an item arrives leaves it to the next one."""
    mailbox = SlimQueue[str]()
    reading = asyncio.create_task(mailbox.get())
    await asyncio.sleep(0)
    mailbox.put_nowait("a")
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert await mailbox.get() == "a"


async def test_event_and_queue_are_small() -> None:
    """While idle, each is far smaller than a single deque."""
    gate, mailbox = SlimEvent(), SlimQueue[int]()
    assert sys.getsizeof(gate) < 100
    members = (mailbox._incoming, mailbox._outgoing)
    assert sys.getsizeof(mailbox) + sum(map(sys.getsizeof, members)) < 250
