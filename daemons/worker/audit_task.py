"""The task that audits the mailboxes once a minute, in one of all workers."""

import asyncio
from contextlib import AbstractAsyncContextManager

from msgctl.aio import background
from msgctl.observability import logs
from msgctl.queue.audit import MailboxAuditor
from msgctl.storage.redis.faults import REDIS_FAULTS
from msgctl.storage.redis.retry import OutageLog

AUDIT_POLL_INTERVAL_S = 5.0
"""Seconds between two checks whether an audit is due."""

log = logs.get_logger(__name__)


def audit_task(audit: MailboxAuditor) -> AbstractAsyncContextManager[None]:
    """Audit while the context lasts. A long audit delays no heartbeat."""
    return background(_run_audits(audit))


async def _run_audits(audit: MailboxAuditor) -> None:
    outage = OutageLog("audit", "Redis client error: cannot audit")
    while True:
        try:
            if await audit.acquire_run():
                await _audit_once(audit)
        except REDIS_FAULTS as error:
            outage.failed(error)
        else:
            outage.succeeded()
        await asyncio.sleep(AUDIT_POLL_INTERVAL_S)


async def _audit_once(audit: MailboxAuditor) -> None:
    for stuck in await audit.run(repair=True):
        log_fields = {"messageId": stuck.message_id, "conversationId": stuck.conversation_id, "fault": stuck.fault}
        log.error("Stuck conversation repaired", **log_fields)
    pruned = await audit.prune_workers()
    if pruned:
        log.info("Dead workers pruned", workers=pruned)
