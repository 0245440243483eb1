"""The doctor: every check, ordered so that a cause comes before its effects, and the safe fixes."""

import time

from msgctl.agents.agents import Agents
from msgctl.domain.errors import MsgctlError, RedisUnavailable
from msgctl.domain.plural import pluralize
from msgctl.operations.checks.doctor.dependency_checks import (
    check_credentials,
    check_machine,
    check_n8n,
    check_postgres,
)
from msgctl.operations.checks.doctor.pipeline_checks import check_backlog, check_daemons, check_failures
from msgctl.operations.checks.doctor.redis_checks import check_redis
from msgctl.operations.checks.doctor.unit_checks import check_units
from msgctl.operations.checks.findings import Finding, passed, trouble
from msgctl.operations.checks.health import SUBSCRIBER_HEARTBEAT_TIMEOUT_S
from msgctl.operations.checks.invariants.check import INVARIANTS
from msgctl.operations.checks.invariants.verify import InvariantVerification
from msgctl.operations.context import Context, Operation
from msgctl.operations.dashboard.overview import Overview
from msgctl.operations.dead_letters.groups import DeadLetterGrouper
from msgctl.queue.audit import MailboxAuditor
from msgctl.storage.postgres.migrations import migrate
from msgctl.storage.redis import keys

WEBHOOK_LIMIT = 20
"""The maximum number of webhooks that are probed."""

UNUSABLE_REDIS_CODES = frozenset(
    {"redis_down", "redis_cluster", "redis_sentinel", "redis_old", "redis_incompatible"}
)
"""Codes of the first finding after which Redis is asked nothing more."""


class Doctor(Operation):
    """Examines the pipeline and its surroundings, and fixes what is safe to fix."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._overview = Overview(context)
        self._grouper = DeadLetterGrouper(context)
        self._verification = InvariantVerification(context)

    async def examine(self, agents: Agents, *, thorough: bool = True) -> list[Finding]:
        """Run every check, and return its finding, whether there is trouble or not.

        A server that is down is a finding, never an error.

        Args:
            agents: the agents whose webhooks are probed.
            thorough: verify the invariants of every message, too, which takes longer.
        """
        settings = self._settings
        findings = await check_redis(self._redis)
        if findings[0].code not in UNUSABLE_REDIS_CODES:
            findings += await self._examine_readable_pipeline(thorough=thorough)
        findings += await check_postgres(settings)
        findings += await check_n8n(settings, await _webhooks(agents))
        findings += check_credentials(settings)
        findings += await check_units(settings)
        return findings + check_machine(settings)

    async def fix(self, fix: str) -> None:
        """Do what the `fix` of a finding names.

        Raises:
            MsgctlError: the server refuses it or does not answer.
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

    async def _examine_readable_pipeline(self, *, thorough: bool) -> list[Finding]:
        """Examine the pipeline, unless Redis refuses reads, as a replica without its primary may."""
        try:
            return await self._examine_pipeline(thorough=thorough)
        except RedisUnavailable as outage:
            impact = "The pipeline cannot be examined."
            return [trouble("pipeline", "redis_down", outage.message, impact=impact, remedy="msgctl doctor")]

    async def _examine_pipeline(self, *, thorough: bool) -> list[Finding]:
        snapshot, dead_letters = await self._overview.read(), await self._grouper.group_newest()
        findings = await check_daemons(self._redis, snapshot)
        findings.append(check_backlog(snapshot, self._settings, await self._queue.list_paused()))
        findings.append(check_failures(dead_letters, snapshot, self._settings))
        if thorough:
            findings.append(await self._check_invariants())
        return findings

    async def _check_invariants(self) -> Finding:
        report = await self._verification.run()
        if report.holds:
            return passed(
                "promises", f"all {len(INVARIANTS)} invariants hold: one end, one answer, replies in order"
            )
        names = sorted({violation.code for violation in report.violations})
        broken = "; ".join(f"{name} ({INVARIANTS[name]})" for name in names)
        text = f"{pluralize(len(report.violations), 'violation')} of {broken}."
        impact = "A message is stuck, was answered twice, or left data behind."
        return trouble("promises", "promise_broken", text, impact=impact, remedy="msgctl verify")

    async def _prune_dead_daemons(self) -> None:
        await MailboxAuditor(self._redis).prune_workers()
        since_ms = (time.time() - SUBSCRIBER_HEARTBEAT_TIMEOUT_S) * 1000
        heartbeats: dict[str, str] = await self._redis.hgetall(keys.SUBSCRIBERS)
        if dead := [name for name, heartbeat in heartbeats.items() if float(heartbeat) <= since_ms]:
            await self._redis.hdel(keys.SUBSCRIBERS, *dead)


async def _webhooks(agents: Agents) -> list[str]:
    try:
        return sorted({agent.webhook_path for agent in await agents.list(limit=WEBHOOK_LIMIT) if agent.active})
    except MsgctlError:
        return []
