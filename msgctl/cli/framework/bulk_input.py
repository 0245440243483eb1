"""Files that commands read, and agents that commands name."""

import asyncio
import re
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from msgctl.cli.framework.session import CommandSession
from msgctl.domain.errors import InvalidInput, NotFound
from msgctl.intake.accept import UUID_PATTERN, Submission, parse_submission

AGENT_SEARCH_LIMIT = 10_000
"""The number of agents among which a name is looked up."""


def read_submissions(file: Path) -> list[Submission]:
    """Read messages from a file of JSON lines, each in the form of a `POST /api/messages` body.

    Args:
        file: the file, or `-` for standard input.

    Raises:
        InvalidInput: the file cannot be read, or a line is invalid.
    """
    submissions = []
    for number, line in enumerate(read_text(file).splitlines(), 1):
        try:
            submissions.append(parse_submission(line.encode()))
        except InvalidInput as error:
            raise InvalidInput(f"Line {number}: {error.message}", details=error.details) from None
    return submissions


def read_text(file: Path) -> str:
    """Read a text file, or standard input if it is `-`.

    Raises:
        InvalidInput: it cannot be read, or it is not UTF-8.
    """
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"Cannot read {file}: {type(error).__name__}.") from None


async def pace_submissions(submissions: Sequence[Submission], rate: float) -> AsyncIterator[Submission]:
    """Yield submissions at `rate` per second at most."""
    start = time.monotonic()
    for index, submission in enumerate(submissions):
        await asyncio.sleep(max(0.0, start + index / rate - time.monotonic()))
        yield submission


async def find_agent_owner(session: CommandSession, agent_id: str, user_id: str | None) -> str:
    """Return the user that an agent belongs to.

    Args:
        session: the session of the command.
        agent_id: the agent.
        user_id: the expected owner, or None to accept any.

    Raises:
        NotFound: the agent does not exist, is disabled, or belongs to another user.
    """
    agent = await session.agents.find(agent_id.lower())
    if agent is None:
        raise NotFound(f"There is no such agent: {agent_id}. See: msgctl agent list")
    if user_id not in (None, agent.user_id):
        raise NotFound(f"User {user_id} has no such agent. See: msgctl agent list --user {user_id}")
    if not agent.active:
        raise NotFound(f"The agent is disabled. Enable it: msgctl agent enable {agent.id}")
    return agent.user_id


async def find_agent_id(session: CommandSession, agent: str, user_id: str | None) -> str:
    """Return the id of an agent that was named by its id or its name.

    Args:
        session: the session of the command.
        agent: an id, or a name that exactly one agent of our own table has.
        user_id: the expected owner, or None to accept any.

    Raises:
        NotFound: no agent has that name.
        InvalidInput: several agents have it, or agents come from the operator's own table.
    """
    if re.match(UUID_PATTERN, agent):
        return agent
    if session.settings.postgres.agent_query:
        raise InvalidInput(f"{agent!r} is not an agent id. An agent id is a UUID.")
    candidates = await session.agents.list(user_id, limit=AGENT_SEARCH_LIMIT)
    if len(candidates) == AGENT_SEARCH_LIMIT:
        raise InvalidInput(f"There are too many agents to look up a name. Give the id of {agent!r}.")
    ids = [candidate.id for candidate in candidates if candidate.name == agent]
    if not ids:
        raise NotFound(f"There is no agent with the id or name {agent!r}. See: msgctl agent list")
    if len(ids) > 1:
        raise InvalidInput(f"{len(ids)} agents have the name {agent!r}. Give the id. See: msgctl agent list")
    return ids[0]
