"""Completion of ids and names in the shell: quick, silent when nothing answers, and never wrong about a typo."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import typer

COMPLETION_TIMEOUT_S = 2.0
"""Seconds a person who pressed Tab waits at most."""
COMPLETION_LIMIT = 50

CompletionQuery = Callable[[Any], Awaitable[list[str]]]


def complete_ids(context: typer.Context, incomplete: str) -> list[str]:
    """The newest messages."""

    async def look(session: Any) -> list[str]:
        from msgctl.operations.messages.query import Query  # noqa: PLC0415 - only when a person presses Tab
        from msgctl.operations.messages.search import MessageSearch  # noqa: PLC0415

        return [
            item.message_id
            for item in (await session.context.get(MessageSearch).newest(Query(), COMPLETION_LIMIT)).items
        ]

    return _complete(context, incomplete, look)


def complete_agents(context: typer.Context, incomplete: str) -> list[str]:
    """Agents of our table."""

    async def look(session: Any) -> list[str]:
        return [agent.id for agent in await session.agents.list(limit=COMPLETION_LIMIT)]

    return _complete(context, incomplete, look)


def complete_workers(context: typer.Context, incomplete: str) -> list[str]:
    """Workers that are alive."""

    async def look(session: Any) -> list[str]:
        from msgctl.operations.workers import Workers  # noqa: PLC0415 - only when a person presses Tab

        return [worker["name"] for worker in await session.context.get(Workers).list_alive()]

    return _complete(context, incomplete, look)


def complete_groups(context: typer.Context, incomplete: str) -> list[str]:
    """Groups of dead letters."""

    async def look(session: Any) -> list[str]:
        from msgctl.domain.messages import State  # noqa: PLC0415 - likewise
        from msgctl.operations.dead_letters.groups import DeadLetterGrouper  # noqa: PLC0415
        from msgctl.operations.messages.query import Query  # noqa: PLC0415

        return [
            group.group
            for group in await session.context.get(DeadLetterGrouper).group_all(Query(state=State.FAILED))
        ]

    return _complete(context, incomplete, look)


def complete_entries(context: typer.Context, incomplete: str) -> list[str]:
    """The newest entries of the journal."""

    async def look(session: Any) -> list[str]:
        from msgctl.operations.audit_log import AuditLog  # noqa: PLC0415 - only when a person presses Tab

        return [act.entry for act in await session.context.get(AuditLog).newest(COMPLETION_LIMIT)]

    return _complete(context, incomplete, look)


def _complete(context: typer.Context, incomplete: str, query: CompletionQuery) -> list[str]:
    from msgctl.cli.framework.session import run_with_session  # noqa: PLC0415 - likewise

    async def hurry(session: Any) -> list[str]:
        return await asyncio.wait_for(query(session), COMPLETION_TIMEOUT_S)

    try:
        found = run_with_session(context, hurry)
    except Exception:  # noqa: BLE001 - a traceback in the middle of a line someone types helps nobody
        return []
    return [word for word in found if word.startswith(incomplete)]
