"""Writing an act of the command line into the journal, under the name of whoever is at the terminal."""

from collections.abc import Sequence
from typing import Any

from msgctl.cli._query import as_record
from msgctl.cli._session import Session
from msgctl.operations.journal import operator
from msgctl.operations.query import Query


async def note_act(
    session: Session,
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
    await session.operations.journal.note(
        act,
        who=operator(),
        reason=reason,
        query=as_record(query) if query else None,
        ids=ids,
        before=before,
        after=after,
    )
