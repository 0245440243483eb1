"""The doctor's round: every check, a cause before what it causes; and what is safe to mend."""

import time

from msgctl import contracts
from msgctl.agents.store import Agents
from msgctl.errors import MsgctlError
from msgctl.operations.context import Context
from msgctl.operations.counting import counted
from msgctl.operations.doctor.finding import Finding, Level, fine, trouble
from msgctl.operations.doctor.flow_checks import check_backlog, check_crew, check_failures
from msgctl.operations.doctor.outside_checks import (
    check_keys,
    check_machine,
    check_n8n,
    check_postgres,
)
from msgctl.operations.doctor.redis_checks import check_redis
from msgctl.operations.doctor.unit_checks import check_units
from msgctl.operations.findings import PROMISES
from msgctl.operations.health import SILENCE
from msgctl.operations.overview import Overview
from msgctl.operations.triage import Triage
from msgctl.operations.verification import Verification
from msgctl.postgres.migrations import migrate
from msgctl.rqueue.audit import Audit

WEBHOOKS = 20
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
        self._verification = Verification(context)

    async def examine(self, agents: Agents, *, thorough: bool = True) -> list[Finding]:
        """Every finding, the sound ones too. What is down is a finding, never an error.

        Args:
            agents: whose webhooks are tried.
            thorough: look at every message for a broken promise, which takes its time.
        """
        settings = self._settings
        found = await check_redis(self._redis)
        if found[0].level is not Level.TROUBLE or found[0].code != "redis_down":
            found += await self._examine_flow(thorough=thorough)
        found += await check_postgres(settings)
        found += await check_n8n(settings, await _webhooks(agents))
        found += check_keys(settings)
        found += await check_units(settings)
        return found + check_machine(settings)

    async def mend(self, fix: str) -> None:
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
                await self._forget_ghosts()
            case _:
                raise ValueError(fix)

    async def _examine_flow(self, *, thorough: bool) -> list[Finding]:
        snapshot, groups = await self._overview.read(), await self._triage.look()
        found = await check_crew(self._redis, snapshot)
        found.append(check_backlog(snapshot, self._settings, await self._queue.paused()))
        found.append(check_failures(groups, snapshot, self._settings))
        if thorough:
            found.append(await self._check_promises())
        return found

    async def _check_promises(self) -> Finding:
        verdict = await self._verification.run()
        if verdict.holds:
            return fine("promises", f"all {len(PROMISES)} hold: one end, one answer, replies in order")
        names = sorted({violation.invariant for violation in verdict.violations})
        broken = "; ".join(f"{name} ({PROMISES[name]})" for name in names)
        what = f"{counted(len(verdict.violations), 'violation')} of {broken}."
        why = "A message is stuck, answered twice, or leaves something behind."
        return trouble("promises", "promise_broken", what, why=why, mend="msgctl verify")

    async def _forget_ghosts(self) -> None:
        await Audit(self._redis).forget_workers()
        since = (time.time() - SILENCE) * 1000
        beats: dict[str, str] = await self._redis.hgetall(contracts.SUBSCRIBERS)
        if silent := [name for name, beat in beats.items() if float(beat) <= since]:
            await self._redis.hdel(contracts.SUBSCRIBERS, *silent)


async def _webhooks(agents: Agents) -> list[str]:
    try:
        return sorted({agent.webhook_path for agent in await agents.list(limit=WEBHOOKS) if agent.active})
    except MsgctlError:
        return []
