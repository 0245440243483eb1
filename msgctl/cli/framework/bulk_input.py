"""Many messages at once: from lines of JSON, and paced."""

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
"""Agents among which a name is looked for."""


def read_submissions(file: Path) -> list[Submission]:
    """Messages from a file of JSON lines, each as `POST /api/messages` takes it; `-` is standard input.

    Raises:
        InvalidInput: the file cannot be read, or a line is not acceptable; nothing was sent.
    """
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"Cannot read {file}: {type(error).__name__}.") from None
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            found.append(parse_submission(line.encode()))
        except InvalidInput as error:
            raise InvalidInput(f"Line {number}: {error.message}", details=error.details) from None
    return found


async def pace_submissions(submissions: Sequence[Submission], rate: float | None) -> AsyncIterator[Submission]:
    """The same, so many a second at most; without a rate at once."""
    begun = time.monotonic()
    for index, submission in enumerate(submissions):
        if rate is not None:
            await asyncio.sleep(max(0.0, begun + index / rate - time.monotonic()))
        yield submission


async def find_agent_owner(session: CommandSession, agent_id: str, user_id: str | None) -> str:
    """The user an agent belongs to.

    Args:
        session: of the command.
        agent_id: the agent.
        user_id: whose it must be; None: anybody's.

    Raises:
        NotFound: there is no such agent, or it is disabled, or another user's.
    """
    agent = await session.agents.find(agent_id.lower())
    if agent is None:
        raise NotFound(f"There is no such agent: {agent_id}. See: msgctl agent list")
    if user_id not in (None, agent.user_id):
        raise NotFound(f"There is no such agent of {user_id}'s. See: msgctl agent list --user {user_id}")
    if not agent.active:
        raise NotFound(f"This agent is disabled. Take messages to it again: msgctl agent enable {agent.id}")
    return agent.user_id


async def find_agent_by_name(session: CommandSession, word: str, user_id: str | None) -> str:
    """The id of the agent that a person named.

    Args:
        session: of the command.
        word: an id, or a name that one agent of our own table has.
        user_id: whose it must be; None: anybody's.

    Raises:
        NotFound: no agent has that name.
        InvalidInput: several have it, or agents come from the operator's own table.
    """
    if re.match(UUID_PATTERN, word):
        return word
    if session.settings.postgres.agent_query:
        raise InvalidInput(f"{word!r} is no id of an agent, which is a UUID.")
    listed = await session.agents.list(user_id, limit=AGENT_SEARCH_LIMIT)
    if len(listed) == AGENT_SEARCH_LIMIT:
        raise InvalidInput(f"There are too many agents to look for a name: say the id of {word!r}.")
    called = [agent for agent in listed if agent.name == word]
    if not called:
        raise NotFound(f"There is no such agent, by id or by name: {word!r}. See: msgctl agent list")
    if len(called) > 1:
        raise InvalidInput(f"{len(called)} agents are called {word!r}: say the id. See: msgctl agent list")
    return called[0].id
