"""The live workers, their runs, and commands to them."""

from collections.abc import Sequence
from typing import Any

from msgctl.operations.context import Operation
from msgctl.queue.leases import OperatorCommand
from msgctl.storage.redis.keys import (
    FIELD_SLOTS,
    IDLE_WORKERS,
    LEASES,
    ORDER,
    RQ_EXECUTION,
    RQ_WORKER,
    RQ_WORKER_EXECUTIONS,
)

COMMAND_TTL_S = 86_400
"""Seconds after which a command that nobody took back expires."""
WORKER_FIELDS = ("state", "hostname", "pid", "birth", "last_heartbeat", FIELD_SLOTS)


class Workers(Operation):
    """Reads the registrations of workers in RQ, and sends commands to workers."""

    async def list_alive(self) -> list[dict[str, Any]]:
        """Return each live worker as `{name, state, order, host, pid, bornAt, lastSeenAt, slots, running}`.

        Times are RFC 3339. `order` is the command of an operator, `drain` or `stop`, or null.
        """
        names = await self._queue.live_workers()
        pipeline = self._redis.pipeline(transaction=False)
        for name in names:
            pipeline.hmget(RQ_WORKER + name, WORKER_FIELDS)
            pipeline.smembers(RQ_WORKER + name + RQ_WORKER_EXECUTIONS)
            pipeline.get(ORDER + name)
        answers = await pipeline.execute()
        each = zip(answers[::3], answers[1::3], answers[2::3], strict=True)
        return [_describe(name, *answer) for name, answer in zip(names, each, strict=True)]

    async def list_runs(self, name: str) -> list[dict[str, Any]]:
        """Return the runs of a worker, each as `{messageId, run, seconds, leaseSeconds}`.

        `seconds` is the duration of the run so far, `leaseSeconds` the time until its lease ends. Null: unknown.
        """
        members = sorted(await self._redis.smembers(RQ_WORKER + name + RQ_WORKER_EXECUTIONS))
        pipeline = self._redis.pipeline(transaction=False)
        for member in members:
            pipeline.hget(RQ_EXECUTION + member, "created_at")
            pipeline.zscore(LEASES, member)
        seconds, microseconds = await self._redis.time()
        answers = await pipeline.execute()
        now = seconds + microseconds / 1e6
        return [
            {
                "messageId": member.rpartition(":")[0],
                "run": int(member.rpartition(":")[2]),
                "seconds": round(now - float(since), 1) if since else None,
                "leaseSeconds": round(until / 1000 - now, 1) if until else None,
            }
            for member, since, until in zip(members, answers[::2], answers[1::2], strict=True)
        ]

    async def send_command(self, names: Sequence[str], order: OperatorCommand | None) -> None:
        """Send a command to workers, which is valid for a day.

        From now on they claim no message, because the claim script itself checks for the command.

        Args:
            names: the names of live workers.
            order: the command. None takes a command back.
        """
        pipeline = self._redis.pipeline(transaction=False)
        for name in names:
            if order is None:
                pipeline.delete(ORDER + name)
            else:
                pipeline.set(ORDER + name, order, ex=COMMAND_TTL_S)
                pipeline.srem(IDLE_WORKERS, name)  # it would waste a wake-up
        await pipeline.execute()


def _describe(name: str, fields: list[str | None], running: set[str], order: str | None) -> dict[str, Any]:
    state, host, pid, birth, seen, slots = fields
    return {
        "name": name,
        "state": state,
        "order": order,
        "host": host,
        "pid": int(pid) if pid else None,
        "bornAt": birth,
        "lastSeenAt": seen,
        "slots": int(slots) if slots else None,
        "running": sorted(member.rpartition(":")[0] for member in running),
    }
