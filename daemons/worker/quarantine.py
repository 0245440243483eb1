"""The quarantine: messages that may kill a process run one at a time, in a process with no other work.

One worker is its keeper. It runs a child, `python -m daemons.worker --quarantine`, while messages wait there.
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
"""The arguments of this Python interpreter for the child. The process id of its parent follows."""
KEEPER_TTL_S = 10.0
"""Seconds for which a worker is the keeper. Renewed each second while the child lives."""

log = logs.get_logger(__name__)


class QuarantineKeeper:
    """Starts the child when needed, one at a time among all workers, and stops it with the worker.

    Args:
        leases: the lease client of the worker.
        may_claim: set while the worker may take new messages. Otherwise the child stops.
    """

    def __init__(self, leases: LeaseClient, may_claim: asyncio.Event) -> None:
        self._leases = leases
        self._may_claim = may_claim
        self._child: asyncio.subprocess.Process | None = None
        self._child_told_to_stop = False

    async def ensure_worker(self, waiting: int) -> None:
        """Start a child if messages wait in the quarantine and no worker has one.

        Args:
            waiting: messages in the quarantine.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        if self._child is not None and self._child.returncode is None:
            await self._leases.acquire_quarantine_lock(KEEPER_TTL_S)
            if not self._may_claim.is_set() and not self._child_told_to_stop:
                self._child_told_to_stop = True
                self._child.terminate()
        elif waiting and self._may_claim.is_set() and await self._leases.acquire_quarantine_lock(KEEPER_TTL_S):
            log.warning("Quarantine child started", waiting=waiting)
            self._child_told_to_stop = False
            environment = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
            self._child = await asyncio.create_subprocess_exec(
                *(sys.executable, *CHILD_ARGUMENTS, str(os.getpid()), *sys.argv[1:]), env=environment
            )

    async def stop(self) -> None:
        """End the child. It requeues its message immediately."""
        if self._child is None or self._child.returncode is not None:
            return
        with suppress(ProcessLookupError):
            self._child.send_signal(signal.SIGTERM)
            self._child.send_signal(signal.SIGINT)  # two equal signals could arrive as one
        await self._child.wait()


class ParentWatcher:
    """Stops a child whose parent has died. The next keeper starts its own child.

    Args:
        pid: the process id of the parent.
        lifecycle: the lifecycle of the child.
    """

    def __init__(self, pid: int, lifecycle: Lifecycle) -> None:
        self._pid = pid
        self._lifecycle = lifecycle

    async def check(self) -> None:
        """Requeue and stop if the parent has died."""
        if os.getppid() != self._pid and not self._lifecycle.stopping.is_set():
            log.warning("Quarantine keeper died: its child stops")
            self._lifecycle.stopping.set()
            self._lifecycle.force_stop.set()
