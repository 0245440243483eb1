"""The auditor of the conversations, beside the work: once a minute, by one of all workers."""

import asyncio
from contextlib import AbstractAsyncContextManager

from msgctl import logs
from msgctl.errors import RedisUnavailable
from msgctl.rqueue.audit import Audit
from msgctl.tasks import background

INTERVAL = 5.0
"""Seconds between two questions whether it is time."""

log = logs.get(__name__)


def auditing(audit: Audit) -> AbstractAsyncContextManager[None]:
    """Audit for as long as the context lasts. A long audit holds up no heartbeat."""
    return background(_audit_for_ever(audit))


async def _audit_for_ever(audit: Audit) -> None:
    while True:
        try:
            if await audit.is_due():
                await _audit_once(audit)
        except RedisUnavailable as outage:
            log.warning("Redis client error: cannot audit", error=outage.message)
        await asyncio.sleep(INTERVAL)


async def _audit_once(audit: Audit) -> None:
    for stuck in await audit.run(mend=True):
        about = {"messageId": stuck.message_id, "conversationId": stuck.conversation_id, "fault": stuck.fault}
        log.error("A conversation was stuck and goes on", **about)
    forgotten = await audit.forget_workers()
    if forgotten:
        log.info("Dead workers are forgotten", workers=forgotten)
