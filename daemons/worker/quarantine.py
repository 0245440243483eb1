"""The quarantine: messages that may kill a process run one at a time, in a process that has nothing else to lose.

The worker that keeps it runs a child, `python -m daemons.worker --quarantine`, as long as something waits there.
"""

import asyncio
import os
import signal
import sys
from contextlib import suppress

from daemons.runtime.lifecycle import Lifecycle
from msgctl.observability import logs
from msgctl.queue.leases import LeaseClient

CHILD_ARGUMENTS = ("-m", "daemons.worker", "--quarantine")
"""What the child runs, by this very Python; its parent's process id follows."""
KEEPER_TTL_S = 10.0
"""Seconds for which a worker becomes the keeper; renewed each second while the child lives."""

log = logs.get_logger(__name__)


class QuarantineKeeper:
    """Starts the child when needed, one at a time among all workers, and takes it along when the worker stops.

    Args:
        leases: the worker's.
        may_claim: whether the worker takes anything new; while it does not, neither does its child.
    """

    def __init__(self, leases: LeaseClient, may_claim: asyncio.Event) -> None:
        self._leases = leases
        self._may_claim = may_claim
        self._child: asyncio.subprocess.Process | None = None
        self._child_told_to_stop = False

    async def ensure_worker(self, waiting: int) -> None:
        """See to it that somebody works the quarantine, if anything waits there.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        if self._child is not None and self._child.returncode is None:
            await self._leases.acquire_quarantine_lock(KEEPER_TTL_S)
            if not self._may_claim.is_set() and not self._child_told_to_stop:
                self._child_told_to_stop = True
                self._child.terminate()
        elif waiting and self._may_claim.is_set() and await self._leases.acquire_quarantine_lock(KEEPER_TTL_S):
            log.warning("Working the quarantine", waiting=waiting)
            self._child_told_to_stop = False
            environment = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
            self._child = await asyncio.create_subprocess_exec(
                *(sys.executable, *CHILD_ARGUMENTS, str(os.getpid()), *sys.argv[1:]), env=environment
            )

    async def stop(self) -> None:
        """End the child, which hands back what it runs at once."""
        if self._child is None or self._child.returncode is not None:
            return
        with suppress(ProcessLookupError):
            self._child.send_signal(signal.SIGTERM)
            self._child.send_signal(signal.SIGINT)  # another one, since two alike could arrive as one
        await self._child.wait()


class ParentWatcher:
    """The worker that started this child. Without it the child leaves: the next keeper starts one of its own.

    Args:
        pid: its process id.
        lifecycle: of the child.
    """

    def __init__(self, pid: int, lifecycle: Lifecycle) -> None:
        self._pid = pid
        self._lifecycle = lifecycle

    async def check(self) -> None:
        """Hand back and leave if it has died."""
        if os.getppid() != self._pid and not self._lifecycle.stopping.is_set():
            log.warning("The keeper of the quarantine is gone; its child leaves")
            self._lifecycle.stopping.set()
            self._lifecycle.force_stop.set()
