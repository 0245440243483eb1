"""The slots of a worker: what runs now, one task a message, and how it is brought to an end."""

import asyncio
from collections.abc import Awaitable, Callable

from msgctl import logs
from msgctl.metrics import definitions as metrics
from msgctl.rqueue.claims import Claimed
from msgctl.tasks import cancel

Work = Callable[[Claimed], Awaitable[None]]

log = logs.get(__name__)


class Slots:
    """Runs up to `size` messages side by side.

    Args:
        size: how many.
        work: takes a message to its end, whatever that is.
    """

    def __init__(self, size: int, work: Work) -> None:
        self._size = size
        self._work = work
        self._running: dict[str, tuple[Claimed, asyncio.Task[None]]] = {}
        self._freed = asyncio.Event()

    @property
    def free(self) -> int:
        """How many more messages could run."""
        return self._size - len(self._running)

    @property
    def leases(self) -> list[str]:
        """`id:run` of everything that runs."""
        return list(self._running)

    def start(self, claimed: Claimed) -> None:
        """Run a message in a slot of its own."""
        task = asyncio.create_task(self._run(claimed))
        self._running[claimed.lease] = (claimed, task)

    async def one_freed(self) -> None:
        """Return when a message has ended since the last call."""
        await self._freed.wait()
        self._freed.clear()

    def drop(self, lease: str) -> None:
        """Stop what runs under a lease that was lost: another worker has it, or will."""
        if lease in self._running:
            claimed, task = self._running[lease]
            metrics.LEASES_LOST.inc()
            log.warning("Lease lost", messageId=claimed.message.message_id, run=claimed.run)
            task.cancel()

    async def drain(self, seconds: float, hurried: asyncio.Event) -> list[Claimed]:
        """Let what runs end by itself, for some `seconds` or until `hurried`; stop and return the rest."""
        tasks = [task for _, task in self._running.values()]
        if tasks:
            log.info("Draining", running=len(tasks), seconds=seconds)
            enough = asyncio.create_task(hurried.wait())
            ended = asyncio.create_task(asyncio.wait(tasks))
            await asyncio.wait({enough, ended}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            await cancel(enough, ended)
        left = list(self._running.values())
        await cancel(*(task for _, task in left))
        return [claimed for claimed, _ in left]

    async def _run(self, claimed: Claimed) -> None:
        try:
            await self._work(claimed)
        except Exception:  # its lease runs out and another worker takes it; the others here must not suffer
            log.exception("The outcome of a message could not be written", messageId=claimed.message.message_id)
        finally:
            del self._running[claimed.lease]
            self._freed.set()
