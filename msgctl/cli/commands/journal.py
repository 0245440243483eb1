"""`msgctl journal`: what operators did, and taking it back where that is possible."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import msgspec
import typer

from msgctl.cli.framework.audit import record_action
from msgctl.cli.framework.completion import complete_entries
from msgctl.cli.framework.groups import make_noun_group
from msgctl.cli.framework.output import OutputFormat, OutputOption, print_listing, print_note
from msgctl.cli.framework.query import DryRunOption, ReasonOption, accepts_yes
from msgctl.cli.framework.session import CommandSession, run_with_session
from msgctl.cli.framework.times import format_age, format_rfc3339
from msgctl.domain.errors import Incomplete, Refused
from msgctl.operations.audit_log import MAX_IDS_PER_ENTRY, AuditEntry, AuditLog
from msgctl.operations.dead_letters.letters import DeadLetters
from msgctl.operations.messages.cancel import MessageCanceller
from msgctl.operations.workers import Workers
from msgctl.queue.leases import OperatorCommand

app = make_noun_group("What operators did, and taking it back.")

COLUMNS = {"entry": "entry", "when": "when", "who": "who", "act": "act", "count": "count", "reason": "reason"}


@app.command("list", epilog="Example: msgctl journal list --limit 20")
def list_entries(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 50,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """The acts, newest first; about 10,000 are kept."""
    acts = run_with_session(context, lambda session: session.context.get(AuditLog).newest(limit))
    records = [
        {**msgspec.to_builtins(act), "at": format_rfc3339(act.at), "when": format_age(act.at)} for act in acts
    ]
    print_listing(records, output, schema="msgctl.act/1", columns=COLUMNS, key="entry", extra={"limit": limit})


@app.command(epilog="Example: msgctl journal undo 1763937000000-0 --dry-run")
@accepts_yes
def undo(
    context: typer.Context,
    entry: Annotated[
        str, typer.Argument(help="The number of the entry, from `journal list`.", autocompletion=complete_entries)
    ],
    *,
    dry_run: DryRunOption = False,
    reason: ReasonOption = "",
) -> None:
    """Take an act back: a pause, a cancellation, a replay that has not run yet, an order, a change of an agent."""

    async def body(session: CommandSession) -> tuple[int, int]:
        act = await session.context.get(AuditLog).find(entry)
        reverse = UNDO_BY_ACTION.get(act.act)
        if reverse is None or (act.count > len(act.ids) and act.count > MAX_IDS_PER_ENTRY):
            why = "it forgot what it changed" if act.act == "dlq drop" else "it has no way back"
            raise Refused(f"`{act.act}` cannot be undone: {why}.")
        if dry_run:
            print_note(f"would undo `{act.act}` of {act.count}")
            return act.count, act.count
        done = await reverse(session, act)
        await record_action(session, f"undo {act.act}", done, reason=reason or f"undo {entry}")
        print_note(f"undone: {len(done)} of {act.count}")
        return len(done), act.count

    done, count = run_with_session(context, body)
    if done < count:
        raise Incomplete(f"{count - done} of {count} had moved on and were left alone.")


async def _cancel_replayed(session: CommandSession, act: AuditEntry) -> list[str]:
    outcomes = await session.context.get(MessageCanceller).cancel(
        act.ids, f"its replay {act.entry} was taken back"
    )
    return [message_id for message_id, outcome in outcomes.items() if outcome == "cancelled"]


async def _replay_cancelled(session: CommandSession, act: AuditEntry) -> list[str]:
    replayed = session.context.get(DeadLetters).replay(act.ids)
    return [one.message_id async for one in replayed if one.outcome == "replayed"]


async def _resume_queues(session: CommandSession, act: AuditEntry) -> list[str]:
    if names := [name for name in act.ids if name not in (act.before or [])]:
        await session.context.queue.resume(names)
    return act.ids


async def _pause_queues(session: CommandSession, act: AuditEntry) -> list[str]:
    before: list[str] = act.before or []
    await session.context.queue.pause(() if len(before) == len(act.ids) == 10 else before)
    return act.ids


async def _resume_workers(session: CommandSession, act: AuditEntry) -> list[str]:
    await session.context.get(Workers).send_command(act.ids, None)
    return act.ids


async def _drain_workers(session: CommandSession, act: AuditEntry) -> list[str]:
    await session.context.get(Workers).send_command(act.ids, OperatorCommand.DRAIN)
    return act.ids


async def _enable_agents(session: CommandSession, act: AuditEntry) -> list[str]:
    return [agent_id for agent_id in act.ids if await session.agents.set_active(agent_id, active=True)]


async def _disable_agents(session: CommandSession, act: AuditEntry) -> list[str]:
    return [agent_id for agent_id in act.ids if await session.agents.set_active(agent_id, active=False)]


async def _restore_agent_settings(session: CommandSession, act: AuditEntry) -> list[str]:
    before: dict[str, Any] = act.before or {}
    return [agent_id for agent_id in act.ids if await session.agents.change_settings(agent_id, before)]


UNDO_BY_ACTION: dict[str, Callable[[CommandSession, Any], Awaitable[list[str]]]] = {
    "message cancel": _replay_cancelled,
    "dlq replay": _cancel_replayed,
    "queue pause": _resume_queues,
    "queue resume": _pause_queues,
    "worker drain": _resume_workers,
    "worker resume": _drain_workers,
    "agent disable": _enable_agents,
    "agent enable": _disable_agents,
    "agent set": _restore_agent_settings,
}
"""Each act that has a way back, and the way."""
