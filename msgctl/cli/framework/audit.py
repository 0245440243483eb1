"""Writing an act of the command line into the journal, under the name of whoever is at the terminal."""

from collections.abc import Sequence
from typing import Any

from msgctl.cli.framework.query import query_to_record
from msgctl.cli.framework.session import CommandSession
from msgctl.operations.messages.query import Query


async def record_action(
    session: CommandSession,
    act: str,
    ids: Sequence[str] = (),
    *,
    reason: str = "",
    query: Query | None = None,
    before: Any = None,
    after: Any = None,
) -> None:
    """Write an act down, if it changed anything or was about no messages.

    Args:
        session: of the command.
        act: noun and verb.
        ids: what was changed.
        reason: from `--reason`.
        query: what was asked for.
        before: what it was.
        after: what it is now.
    """
    from msgctl.operations.audit_log import AuditLog, operator_name  # noqa: PLC0415 - only acts are recorded

    await session.context.get(AuditLog).record(
        act,
        who=operator_name(),
        reason=reason,
        query=query_to_record(query) if query else None,
        ids=ids,
        before=before,
        after=after,
    )
