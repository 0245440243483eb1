"""Recording operator actions of the command line in the audit log."""

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
    """Record an action under the name of the operator at the terminal.

    Args:
        session: the session of the command.
        act: the command, noun and verb.
        ids: the messages, workers, or the like that changed.
        reason: the value of `--reason`.
        query: the query that selected the messages.
        before: the value before the action.
        after: the value after it.
    """
    from msgctl.operations.audit_log import AuditLog, operator_name  # noqa: PLC0415 - only actions are recorded

    await session.context.get(AuditLog).record(
        act,
        who=operator_name(),
        reason=reason,
        query=query_to_record(query) if query else None,
        ids=ids,
        before=before,
        after=after,
    )
