"""What an operator has told this worker: to take nothing new for now, or to leave."""

import asyncio

from msgctl.observability import logs
from msgctl.queue.leases import LeaseClient, OperatorCommand

log = logs.get_logger(__name__)


class OperatorCommands:
    """Looks for an order each second and obeys it.

    Args:
        leases: this worker's.
        stopping: set when the order is to leave.
    """

    def __init__(self, leases: LeaseClient, stopping: asyncio.Event) -> None:
        self._leases = leases
        self._stopping = stopping
        self.may_claim = asyncio.Event()
        """Set unless this worker is to take nothing new."""
        self.may_claim.set()

    async def apply_command(self) -> None:
        """Obey the order there is.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        order = await self._leases.read_command()
        if order is OperatorCommand.STOP:
            self._stopping.set()
        if order is None and not self.may_claim.is_set():
            log.info("Resumed by an operator")
            self.may_claim.set()
        if order is not None and self.may_claim.is_set():
            log.info("Drained by an operator", order=order)
            self.may_claim.clear()
            await self._leases.deregister()
