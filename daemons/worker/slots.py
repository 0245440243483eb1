"""The slots of a worker: what runs now, one task a message, and how it is brought to an end."""

import asyncio
from collections.abc import Awaitable, Callable

from msgctl.aio import cancel
from msgctl.observability import logs
from msgctl.observability.metrics import definitions as metrics
from msgctl.queue.leases import LeasedMessage

ProcessMessage = Callable[[LeasedMessage], Awaitable[None]]

log = logs.get_logger(__name__)


class Slots:
    """Runs up to `size` messages side by side.

    Args:
        size: how many.
        work: takes a message to its end, whatever that is.
    """

    def __init__(self, size: int, work: ProcessMessage) -> None:
        self._size = size
        self._work = work
        self._running: dict[str, tuple[LeasedMessage, asyncio.Task[None]]] = {}
        self._slot_freed = asyncio.Event()

    @property
    def free_count(self) -> int:
        """How many more messages could run."""
        return self._size - len(self._running)

    @property
    def leases(self) -> list[str]:
        """`id:run` of everything that runs."""
        return list(self._running)

    def start(self, claimed: LeasedMessage) -> None:
        """Run a message in a slot of its own."""
        task = asyncio.create_task(self._run(claimed))
        self._running[claimed.lease] = (claimed, task)

    async def wait_for_free_slot(self) -> None:
        """Return when a message has ended since the last call."""
        await self._slot_freed.wait()
        self._slot_freed.clear()

    def cancel_lost(self, lease: str) -> None:
        """Stop what runs under a lease that was lost: another worker has it, or will."""
        if lease in self._running:
            claimed, task = self._running[lease]
            metrics.LEASES_LOST.inc()
            log.warning("Lease lost", messageId=claimed.message.message_id, run=claimed.run)
            task.cancel()

    async def drain(self, seconds: float, force_stop: asyncio.Event) -> list[LeasedMessage]:
        """Let what runs end by itself, for some `seconds` or until `hurried`; stop and return the rest."""
        tasks = [task for _, task in self._running.values()]
        if tasks:
            log.info("Draining", running=len(tasks), seconds=seconds)
            enough = asyncio.create_task(force_stop.wait())
            ended = asyncio.create_task(asyncio.wait(tasks))
            await asyncio.wait({enough, ended}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            await cancel(enough, ended)
        left = list(self._running.values())
        await cancel(*(task for _, task in left))
        return [claimed for claimed, _ in left]

    async def _run(self, claimed: LeasedMessage) -> None:
        try:
            await self._work(claimed)
        except Exception:  # its lease runs out and another worker takes it; the others here must not suffer
            log.exception("The outcome of a message could not be written", messageId=claimed.message.message_id)
        finally:
            del self._running[claimed.lease]
            self._slot_freed.set()
