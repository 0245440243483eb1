"""Commands of an operator to this worker: drain, or stop."""

import asyncio

from msgctl.observability import logs
from msgctl.queue.leases import LeaseClient, OperatorCommand

log = logs.get_logger(__name__)


class OperatorCommands:
    """Polls for a command each second and applies it.

    Args:
        leases: the lease client of this worker.
        stopping: set when the command is to stop.
    """

    def __init__(self, leases: LeaseClient, stopping: asyncio.Event) -> None:
        self._leases = leases
        self._stopping = stopping
        self.may_claim = asyncio.Event()
        """Set unless this worker must take no new messages."""
        self.may_claim.set()

    async def apply_command(self) -> None:
        """Apply the current command, if there is one.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        command = await self._leases.read_command()
        if command is OperatorCommand.STOP:
            self._stopping.set()
        if command is None and not self.may_claim.is_set():
            log.info("Resumed by an operator")
            self.may_claim.set()
        if command is not None and self.may_claim.is_set():
            log.info("Drained by an operator", command=command)
            self.may_claim.clear()
            await self._leases.deregister()
