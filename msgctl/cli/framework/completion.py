"""Completion of ids and names in the shell. It is quick, and silent when a server does not answer."""

from collections.abc import Awaitable, Callable
from typing import Any

import typer

COMPLETION_TIMEOUT_S = 2.0
"""Seconds after which a completion is given up."""
COMPLETION_LIMIT = 50

CompletionQuery = Callable[[Any], Awaitable[list[str]]]
Completer = Callable[[typer.Context, str], list[str]]


def completer(query: CompletionQuery) -> Completer:
    """Return a completion callback for Typer.

    Args:
        query: reads the words to complete from, within a `CommandSession`.
    """

    def complete(context: typer.Context, incomplete: str) -> list[str]:
        import asyncio  # noqa: PLC0415 - only when a person presses Tab

        from msgctl.cli.framework.session import run_with_session  # noqa: PLC0415

        async def query_in_time(session: Any) -> list[str]:
            return await asyncio.wait_for(query(session), COMPLETION_TIMEOUT_S)

        try:
            words = run_with_session(context, query_in_time)
        except Exception:  # noqa: BLE001 - a traceback would break the line that a person types
            return []
        return [word for word in words if word.startswith(incomplete)]

    return complete


@completer
async def complete_ids(session: Any) -> list[str]:
    """List the ids of the newest messages."""
    from msgctl.operations.messages.query import Query  # noqa: PLC0415 - only when a person presses Tab
    from msgctl.operations.messages.search import MessageSearch  # noqa: PLC0415

    newest = await session.context.get(MessageSearch).newest(Query(), COMPLETION_LIMIT)
    return [item.message_id for item in newest.items]


@completer
async def complete_agents(session: Any) -> list[str]:
    """List the ids of agents in our table."""
    return [agent.id for agent in await session.agents.list(limit=COMPLETION_LIMIT)]


@completer
async def complete_workers(session: Any) -> list[str]:
    """List the names of live workers."""
    from msgctl.operations.workers import Workers  # noqa: PLC0415 - only when a person presses Tab

    return [worker["name"] for worker in await session.context.get(Workers).list_alive()]


@completer
async def complete_groups(session: Any) -> list[str]:
    """List the keys of the dead-letter groups."""
    from msgctl.domain.messages import State  # noqa: PLC0415 - only when a person presses Tab
    from msgctl.operations.dead_letters.groups import DeadLetterGrouper  # noqa: PLC0415
    from msgctl.operations.messages.query import Query  # noqa: PLC0415

    groups = await session.context.get(DeadLetterGrouper).group_all(Query(state=State.FAILED))
    return [group.group for group in groups]


@completer
async def complete_entries(session: Any) -> list[str]:
    """List the newest entries of the audit log."""
    from msgctl.operations.audit_log import AuditLog  # noqa: PLC0415 - only when a person presses Tab

    return [act.entry for act in await session.context.get(AuditLog).newest(COMPLETION_LIMIT)]
