"""`msgctl journal`: list the actions of operators, and undo them where possible."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any

import msgspec
import typer

from msgctl.cli.framework.audit import record_action
from msgctl.cli.framework.completion import complete_entries
from msgctl.cli.framework.help import make_noun_group
from msgctl.cli.framework.options import DryRunOption, ListLimitOption, OutputFormat, OutputOption, ReasonOption
from msgctl.cli.framework.output import print_listing, print_note
from msgctl.cli.framework.query import accepts_yes
from msgctl.cli.framework.session import CommandSession, run_with_session
from msgctl.cli.framework.times import format_age, format_rfc3339
from msgctl.domain.errors import Incomplete, Refused
from msgctl.domain.messages import PRIORITIES
from msgctl.operations.audit_log import MAX_IDS_PER_ENTRY, AuditEntry, AuditLog
from msgctl.operations.dead_letters.letters import DeadLetters
from msgctl.operations.messages.cancel import MessageCanceller
from msgctl.operations.workers import Workers
from msgctl.queue.leases import OperatorCommand

app = make_noun_group("List and undo operator actions.")

COLUMNS = {"entry": "entry", "when": "when", "who": "who", "act": "act", "count": "count", "reason": "reason"}


@app.command("list", epilog="Example: msgctl journal list --limit 20")
def list_entries(
    context: typer.Context, limit: ListLimitOption = 50, output: OutputOption = OutputFormat.TABLE
) -> None:
    """List operator actions, newest first. About 10,000 are kept."""
    entries = run_with_session(context, lambda session: session.context.get(AuditLog).newest(limit))
    records = [
        {**msgspec.to_builtins(entry), "at": format_rfc3339(entry.at), "when": format_age(entry.at)}
        for entry in entries
    ]
    print_listing(records, output, schema="msgctl.act/1", columns=COLUMNS, key="entry", extra={"limit": limit})


@app.command(epilog="Example: msgctl journal undo 1763937000000-0 --dry-run")
@accepts_yes
def undo(
    context: typer.Context,
    entry: Annotated[str, typer.Argument(help="The entry from `journal list`.", autocompletion=complete_entries)],
    *,
    dry_run: DryRunOption = False,
    reason: ReasonOption = "",
) -> None:
    """Undo an action: a pause or resume, a cancellation, a replay that has not run, or a change of an agent."""

    async def body(session: CommandSession) -> tuple[int, int]:
        action = await session.context.get(AuditLog).find(entry)
        reverse = UNDO_BY_ACTION.get(action.act)
        if reverse is None or (action.count > len(action.ids) and action.count > MAX_IDS_PER_ENTRY):
            why = "it deleted data" if action.act == "dlq drop" else "it has no inverse"
            raise Refused(f"`{action.act}` cannot be undone: {why}.")
        if dry_run:
            print_note(f"would undo `{action.act}` of {action.count}")
            return action.count, action.count
        done = await reverse(session, action)
        await record_action(session, f"undo {action.act}", done, reason=reason or f"undo {entry}")
        print_note(f"undone: {len(done)} of {action.count}")
        return len(done), action.count

    done, count = run_with_session(context, body)
    if done < count:
        raise Incomplete(f"{count - done} of {count} have changed since and were not undone.")


async def _cancel_replayed(session: CommandSession, action: AuditEntry) -> list[str]:
    canceller = session.context.get(MessageCanceller)
    outcomes = await canceller.cancel(action.ids, f"its replay {action.entry} was undone")
    return [message_id for message_id, outcome in outcomes.items() if outcome == "cancelled"]


async def _replay_cancelled(session: CommandSession, action: AuditEntry) -> list[str]:
    results = session.context.get(DeadLetters).replay(action.ids)
    return [result.message_id async for result in results if result.outcome == "replayed"]


async def _resume_queues(session: CommandSession, action: AuditEntry) -> list[str]:
    if names := [name for name in action.ids if name not in (action.before or [])]:
        await session.context.queue.resume(names)
    return action.ids


async def _pause_queues(session: CommandSession, action: AuditEntry) -> list[str]:
    before: list[str] = action.before or []
    await session.context.queue.pause(() if len(before) == len(action.ids) == len(PRIORITIES) else before)
    return action.ids


async def _order_workers(
    session: CommandSession, action: AuditEntry, *, order: OperatorCommand | None
) -> list[str]:
    await session.context.get(Workers).send_command(action.ids, order)
    return action.ids


async def _switch_agents(session: CommandSession, action: AuditEntry, *, active: bool) -> list[str]:
    return [agent_id for agent_id in action.ids if await session.agents.set_active(agent_id, active=active)]


async def _restore_agent_settings(session: CommandSession, action: AuditEntry) -> list[str]:
    before: dict[str, Any] = action.before or {}
    return [agent_id for agent_id in action.ids if await session.agents.change_settings(agent_id, before)]


UNDO_BY_ACTION: dict[str, Callable[[CommandSession, Any], Awaitable[list[str]]]] = {
    "message cancel": _replay_cancelled,
    "dlq replay": _cancel_replayed,
    "queue pause": _resume_queues,
    "queue resume": _pause_queues,
    "worker drain": partial(_order_workers, order=None),
    "worker resume": partial(_order_workers, order=OperatorCommand.DRAIN),
    "agent disable": partial(_switch_agents, active=True),
    "agent enable": partial(_switch_agents, active=False),
    "agent set": _restore_agent_settings,
}
"""The function that undoes each action that has an inverse. It returns the ids that it changed."""
