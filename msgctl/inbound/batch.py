"""The records of one webhook: each one ends by itself, and the provider's answer is the worst of their ends."""

import asyncio
from collections.abc import Iterable
from typing import Protocol

from msgctl.channels.inbound import Inbound, InboundMove, InboundOther, InboundText
from msgctl.domain.errors import MsgctlError, RedisUnavailable, Unavailable
from msgctl.inbound.refusals import RefusalAccount
from msgctl.observability import logs

MAX_CONCURRENT = 16
"""Records of one webhook that are processed at the same time."""
MAX_OUTAGES = MAX_CONCURRENT
"""Records that a dead Redis may keep waiting before the rest is left to the provider without a try."""

log = logs.get_logger(__name__)


class RecordProcessor(Protocol):
    """Processes one record."""

    @property
    def refusals(self) -> RefusalAccount:
        """The account of records that were not taken."""
        ...

    async def process(self, item: Inbound) -> None:
        """Process one record.

        Raises:
            Unavailable: it cannot be processed now.
        """
        ...


class InboundBatch:
    """Processes the records of one webhook: those of a conversation in order, all others at the same time.

    Args:
        processor: processes one record.
        channel: the channel of the webhook.
        timeout_s: seconds that one record may take.
    """

    def __init__(self, processor: RecordProcessor, channel: str, timeout_s: float) -> None:
        self._processor = processor
        self._channel = channel
        self._timeout_s = timeout_s
        self._slots = asyncio.Semaphore(MAX_CONCURRENT)
        self._outages = 0
        self._worst: MsgctlError | None = None

    async def process(self, items: Iterable[Inbound]) -> None:
        """Process every record.

        Raises:
            Unavailable: a record could not be taken, so the provider must repeat the webhook. All others were.
        """
        await asyncio.gather(*map(self._process_row, _rows(items)))
        if self._worst is not None:
            raise self._worst

    async def _process_row(self, row: list[Inbound]) -> None:
        """Process records in order. Those after one that is left are left too, or they would overtake it."""
        error: MsgctlError | None = None
        for item in row:
            async with self._slots:
                if error is None and self._outages >= MAX_OUTAGES:
                    error = self._worst
                error = error or await self._end_of(item)
            if error is not None:
                self._worst = error
                self._processor.refusals.leave(self._channel, error.code, error.message)

    async def _end_of(self, item: Inbound) -> MsgctlError | None:
        """Process one record; return why it must be repeated, or None."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._processor.process(item)
        except TimeoutError:
            self._outages += 1
            return Unavailable("Redis or PostgreSQL took too long to answer. Try again.")
        except RedisUnavailable as error:
            self._outages += 1
            return error
        except Unavailable as error:
            return error
        except Exception as error:
            log.exception("A record of a webhook failed unexpectedly", channel=self._channel)
            return Unavailable(f"The record cannot be processed ({type(error).__name__}).")
        self._outages = 0
        return None


def _rows(items: Iterable[Inbound]) -> list[list[Inbound]]:
    """Return the items in rows: those of one customer are in one row, in their order."""
    rows: list[list[Inbound]] = []
    row_of: dict[str, list[Inbound]] = {}
    for item in items:
        names = _customer_ids(item)
        row = next((row_of[name] for name in names if name in row_of), None)
        if row is None:
            row = []
            rows.append(row)
        row.append(item)
        row_of |= dict.fromkeys(names, row)
    return rows


def _customer_ids(item: Inbound) -> tuple[str, ...]:
    """Return the ids of which items must have one in common to be processed in order."""
    if isinstance(item, InboundMove):
        return item.conversation_ids
    if isinstance(item, InboundText | InboundOther) and item.conversation_id:
        return (item.conversation_id, *item.aliases)
    return ()
