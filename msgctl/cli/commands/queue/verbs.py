"""`msgctl queue list | pause | resume | drain`: the ten priorities, one by one or all together."""

import asyncio
import time
from typing import Annotated, Any

import typer

from msgctl.cli.framework.audit import record_action
from msgctl.cli.framework.output import OutputFormat, OutputOption, print_listing, print_note
from msgctl.cli.framework.query import ReasonOption, accepts_yes
from msgctl.cli.framework.session import CommandSession, run_with_session
from msgctl.domain.errors import TryLater
from msgctl.domain.messages import PRIORITIES
from msgctl.domain.plural import pluralize
from msgctl.domain.times import format_duration, parse_duration
from msgctl.storage.redis.keys import queue_name

DRAIN_POLL_INTERVAL_S = 0.5
COLUMNS = {
    "queue": "queue",
    "waiting": "waiting",
    "active": "active",
    "delayed": "delayed",
    "oldest": "oldest",
    "paused": "paused",
}

PrioritiesOption = Annotated[
    list[int] | None,
    typer.Option("--priority", min=1, max=10, help="Only this one; may be given again. Without it: all."),
]


def list_queues(context: typer.Context, output: OutputOption = OutputFormat.TABLE) -> None:
    """The ten queues, soonest first: what each holds, how long its head has waited, whether it is paused."""

    async def body(session: CommandSession) -> list[dict[str, Any]]:
        from msgctl.operations.dashboard.overview import Overview  # noqa: PLC0415 - only this verb needs it

        snapshot = await session.context.get(Overview).read()
        paused = await session.context.queue.list_paused()
        return [
            {
                "queue": queue_name(row.priority),
                "priority": row.priority,
                "waiting": row.waiting,
                "active": row.active,
                "delayed": row.delayed,
                "oldestSeconds": row.oldest,
                "oldest": format_duration(row.oldest) if row.oldest is not None else None,
                "paused": queue_name(row.priority) in paused,
            }
            for row in snapshot.priorities
        ]

    print_listing(run_with_session(context, body), output, schema="msgctl.queue/1", columns=COLUMNS, key="queue")


@accepts_yes
def pause(context: typer.Context, priority: PrioritiesOption = None, *, reason: ReasonOption = "") -> None:
    """Let no worker claim from it. What runs goes on, what comes in waits; nothing is lost."""
    run_with_session(context, lambda session: _pause_or_resume(session, "queue pause", priority or [], reason))


@accepts_yes
def resume(context: typer.Context, priority: PrioritiesOption = None, *, reason: ReasonOption = "") -> None:
    """Let workers claim from it again, and wake them."""
    run_with_session(context, lambda session: _pause_or_resume(session, "queue resume", priority or [], reason))


async def _pause_or_resume(session: CommandSession, act: str, priorities: list[int], reason: str) -> None:
    queue = session.context.queue
    names = [queue_name(priority) for priority in priorities]
    before = await queue.list_paused()
    await (queue.pause if act == "queue pause" else queue.resume)(names)
    after = await queue.list_paused()
    ids = names or [queue_name(priority) for priority in PRIORITIES]
    await record_action(session, act, ids, reason=reason, before=before, after=after)
    print_note(f"paused: {', '.join(after) or 'none'}")


def drain(
    context: typer.Context,
    *,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until it is empty; exit 75 if it is not in time.")
    ] = False,
    timeout: Annotated[str, typer.Option(metavar="DURATION", help="How long to wait at most.")] = "5m",
) -> None:
    """Say what the queue still has to do, and with `--wait` return once it has done it.

    It stops nobody from sending: pause what sends, or the gateway, first.
    """
    patience = parse_duration(timeout)

    async def body(session: CommandSession) -> None:
        deadline, told = time.monotonic() + patience, ""
        while True:
            stats = await session.context.queue.stats()
            left = stats.waiting + stats.active + stats.delayed + stats.paused
            text = f"{left} to do: {stats.waiting} waiting, {stats.active} active, {stats.delayed} delayed"
            text += f", {stats.paused} paused" if stats.paused else ""
            if text != told:
                print_note(text)
                told = text
            if not left or not wait:
                return
            if time.monotonic() > deadline:
                raise TryLater(
                    f"After {patience:g} s {pluralize(left, 'message is', 'messages are')} still to be worked."
                )
            await asyncio.sleep(DRAIN_POLL_INTERVAL_S)

    run_with_session(context, body)
