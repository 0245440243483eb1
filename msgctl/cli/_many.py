"""Many messages at once: from lines of JSON, and paced."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from msgctl.cli._session import Session
from msgctl.errors import InvalidInput, NotFound
from msgctl.intake import Submission, parse_submission


def read_lines(file: Path) -> list[Submission]:
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


async def paced(submissions: Sequence[Submission], rate: float | None) -> AsyncIterator[Submission]:
    """The same, so many a second at most; without a rate at once."""
    begun = time.monotonic()
    for index, submission in enumerate(submissions):
        if rate is not None:
            await asyncio.sleep(max(0.0, begun + index / rate - time.monotonic()))
        yield submission


async def owner_of(session: Session, agent_id: str) -> str:
    """The user an agent belongs to.

    Raises:
        NotFound: there is no such agent.
    """
    agent = await session.agents.find(agent_id)
    if agent is None:
        raise NotFound("There is no such agent. See: msgctl agent list")
    return agent.user_id
