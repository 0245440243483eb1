"""The quarantine: messages that may kill a process run one at a time, in a process that has nothing else to lose.

The worker that keeps it runs a child, `python -m daemons.worker --quarantine`, as long as something waits there.
"""

import asyncio
import os
import signal
import sys
from contextlib import suppress

from daemons._process import Life
from msgctl import logs
from msgctl.rqueue.claims import Claims

PROGRAM = ("-m", "daemons.worker", "--quarantine")
"""What the child runs, by this very Python; its parent's process id follows."""
KEEPING = 10.0
"""Seconds for which a worker becomes the keeper; renewed each second while the child lives."""

log = logs.get(__name__)


class Quarantine:
    """Starts the child when needed, one at a time among all workers, and takes it along when the worker stops.

    Args:
        claims: the worker's.
        may_claim: whether the worker takes anything new; while it does not, neither does its child.
    """

    def __init__(self, claims: Claims, may_claim: asyncio.Event) -> None:
        self._claims = claims
        self._may_claim = may_claim
        self._child: asyncio.subprocess.Process | None = None
        self._dismissed = False

    async def attend(self, waiting: int) -> None:
        """See to it that somebody works the quarantine, if anything waits there.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        if self._child is not None and self._child.returncode is None:
            await self._claims.keep_quarantine(KEEPING)
            if not self._may_claim.is_set() and not self._dismissed:
                self._dismissed = True
                self._child.terminate()
        elif waiting and self._may_claim.is_set() and await self._claims.keep_quarantine(KEEPING):
            log.warning("Working the quarantine", waiting=waiting)
            self._dismissed = False
            environment = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
            self._child = await asyncio.create_subprocess_exec(
                *(sys.executable, *PROGRAM, str(os.getpid()), *sys.argv[1:]), env=environment
            )

    async def stop(self) -> None:
        """End the child, which hands back what it runs at once."""
        if self._child is None or self._child.returncode is not None:
            return
        with suppress(ProcessLookupError):
            self._child.send_signal(signal.SIGTERM)
            self._child.send_signal(signal.SIGINT)  # another one, since two alike could arrive as one
        await self._child.wait()


class Parent:
    """The worker that started this child. Without it the child leaves: the next keeper starts one of its own.

    Args:
        pid: its process id.
        life: of the child.
    """

    def __init__(self, pid: int, life: Life) -> None:
        self._pid = pid
        self._life = life

    async def look(self) -> None:
        """Hand back and leave if it has died."""
        if os.getppid() != self._pid and not self._life.stopping.is_set():
            log.warning("The keeper of the quarantine is gone; its child leaves")
            self._life.stopping.set()
            self._life.hurried.set()
