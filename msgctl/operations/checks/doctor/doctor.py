"""The doctor's round: every check, a cause before what it causes; and what is safe to mend."""

import time

from msgctl.agents.agents import Agents
from msgctl.domain.errors import MsgctlError
from msgctl.domain.plural import pluralize
from msgctl.operations.checks.doctor.dependency_checks import (
    check_credentials,
    check_machine,
    check_n8n,
    check_postgres,
)
from msgctl.operations.checks.doctor.finding import Finding, Level, fine, trouble
from msgctl.operations.checks.doctor.pipeline_checks import check_backlog, check_daemons, check_failures
from msgctl.operations.checks.doctor.redis_checks import check_redis
from msgctl.operations.checks.doctor.unit_checks import check_units
from msgctl.operations.checks.findings import INVARIANTS
from msgctl.operations.checks.health import SUBSCRIBER_HEARTBEAT_TIMEOUT_S
from msgctl.operations.checks.invariants.verify import InvariantVerification
from msgctl.operations.context import Context
from msgctl.operations.dashboard.overview import Overview
from msgctl.operations.dead_letters.triage import Triage
from msgctl.queue.audit import MailboxAuditor
from msgctl.storage.postgres.migrations import migrate
from msgctl.storage.redis import keys

WEBHOOK_LIMIT = 20
"""Agents' webhooks that are looked at."""


class Doctor:
    """Examines the pipeline, and mends what is safe.

    Args:
        context: the pipeline it works on.
    """

    def __init__(self, context: Context) -> None:
        self._settings = context.settings
        self._redis = context.redis
        self._queue = context.queue
        self._overview = Overview(context)
        self._triage = Triage(context)
        self._verification = InvariantVerification(context)

    async def examine(self, agents: Agents, *, thorough: bool = True) -> list[Finding]:
        """Every finding, the sound ones too. What is down is a finding, never an error.

        Args:
            agents: whose webhooks are tried.
            thorough: look at every message for a broken promise, which takes its time.
        """
        settings = self._settings
        found = await check_redis(self._redis)
        if found[0].level is not Level.TROUBLE or found[0].code != "redis_down":
            found += await self._examine_pipeline(thorough=thorough)
        found += await check_postgres(settings)
        found += await check_n8n(settings, await _webhooks(agents))
        found += check_credentials(settings)
        found += await check_units(settings)
        return found + check_machine(settings)

    async def fix(self, fix: str) -> None:
        """Do what a finding's `fix` names.

        Raises:
            MsgctlError: it cannot be done.
        """
        match fix:
            case "noeviction":
                await self._redis.config_set("maxmemory-policy", "noeviction")
            case "appendonly":
                await self._redis.config_set("appendonly", "yes")
            case "migrate":
                await migrate(self._settings)
            case "ghosts":
                await self._prune_dead_daemons()
            case _:
                raise ValueError(fix)

    async def _examine_pipeline(self, *, thorough: bool) -> list[Finding]:
        snapshot, groups = await self._overview.read(), await self._triage.group_newest()
        found = await check_daemons(self._redis, snapshot)
        found.append(check_backlog(snapshot, self._settings, await self._queue.list_paused()))
        found.append(check_failures(groups, snapshot, self._settings))
        if thorough:
            found.append(await self._check_invariants())
        return found

    async def _check_invariants(self) -> Finding:
        verdict = await self._verification.run()
        if verdict.holds:
            return fine("promises", f"all {len(INVARIANTS)} hold: one end, one answer, replies in order")
        names = sorted({violation.invariant for violation in verdict.violations})
        broken = "; ".join(f"{name} ({INVARIANTS[name]})" for name in names)
        what = f"{pluralize(len(verdict.violations), 'violation')} of {broken}."
        why = "A message is stuck, answered twice, or leaves something behind."
        return trouble("promises", "promise_broken", what, why=why, mend="msgctl verify")

    async def _prune_dead_daemons(self) -> None:
        await MailboxAuditor(self._redis).prune_workers()
        since = (time.time() - SUBSCRIBER_HEARTBEAT_TIMEOUT_S) * 1000
        beats: dict[str, str] = await self._redis.hgetall(keys.SUBSCRIBERS)
        if silent := [name for name, beat in beats.items() if float(beat) <= since]:
            await self._redis.hdel(keys.SUBSCRIBERS, *silent)


async def _webhooks(agents: Agents) -> list[str]:
    try:
        return sorted({agent.webhook_path for agent in await agents.list(limit=WEBHOOK_LIMIT) if agent.active})
    except MsgctlError:
        return []
