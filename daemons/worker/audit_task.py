"""The auditor of the conversations, beside the work: once a minute, by one of all workers."""

import asyncio
from contextlib import AbstractAsyncContextManager

from msgctl.aio import background
from msgctl.domain.errors import RedisUnavailable
from msgctl.observability import logs
from msgctl.queue.audit import MailboxAuditor

AUDIT_POLL_INTERVAL_S = 5.0
"""Seconds between two questions whether it is time."""

log = logs.get_logger(__name__)


def audit_task(audit: MailboxAuditor) -> AbstractAsyncContextManager[None]:
    """Audit for as long as the context lasts. A long audit holds up no heartbeat."""
    return background(_run_audits(audit))


async def _run_audits(audit: MailboxAuditor) -> None:
    while True:
        try:
            if await audit.acquire_run():
                await _audit_once(audit)
        except RedisUnavailable as outage:
            log.warning("Redis client error: cannot audit", error=outage.message)
        await asyncio.sleep(AUDIT_POLL_INTERVAL_S)


async def _audit_once(audit: MailboxAuditor) -> None:
    for stuck in await audit.run(repair=True):
        about = {"messageId": stuck.message_id, "conversationId": stuck.conversation_id, "fault": stuck.fault}
        log.error("A conversation was stuck and goes on", **about)
    forgotten = await audit.prune_workers()
    if forgotten:
        log.info("Dead workers are forgotten", workers=forgotten)
