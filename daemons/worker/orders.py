"""What an operator has told this worker: to take nothing new for now, or to leave."""

import asyncio

from msgctl import logs
from msgctl.rqueue.claims import Claims, Order

log = logs.get(__name__)


class Orders:
    """Looks for an order each second and obeys it.

    Args:
        claims: this worker's.
        stopping: set when the order is to leave.
    """

    def __init__(self, claims: Claims, stopping: asyncio.Event) -> None:
        self._claims = claims
        self._stopping = stopping
        self.may_claim = asyncio.Event()
        """Set unless this worker is to take nothing new."""
        self.may_claim.set()

    async def look(self) -> None:
        """Obey the order there is.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        order = await self._claims.order()
        if order is Order.STOP:
            self._stopping.set()
        if order is None and not self.may_claim.is_set():
            log.info("Resumed by an operator")
            self.may_claim.set()
        if order is not None and self.may_claim.is_set():
            log.info("Drained by an operator", order=order)
            self.may_claim.clear()
            await self._claims.retire()
