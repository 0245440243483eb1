"""Many messages at once: from lines of JSON, paced, through Redis or through the gateway's API."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import requests

from msgctl import tokens
from msgctl.cli._session import Session
from msgctl.config import Settings
from msgctl.errors import InvalidInput, NotFound, Refused, Unavailable
from msgctl.intake import Submission, parse_submission

LIFETIME = 300.0
"""Seconds a token for the gateway is good for."""
PATIENCE = 15.0
"""Seconds one request may take."""


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


class Door:
    """The gateway, as a client sees it.

    Args:
        settings: `gateway.*` and `auth.*`; the token is issued here, for each user.
    """

    def __init__(self, settings: Settings) -> None:
        host = "127.0.0.1" if settings.gateway.host in {"0.0.0.0", "::"} else settings.gateway.host  # noqa: S104
        self._settings = settings
        self._url = f"http://{host}:{settings.gateway.port}/api/messages"
        self._http = requests.Session()
        self._tokens: dict[str, str] = {}

    async def send(self, submission: Submission, user_id: str) -> dict[str, Any]:
        """Post one message and return the `data` of the answer.

        Raises:
            Unavailable: the gateway does not answer, or not now.
            NotFound, InvalidInput, Refused: it refuses this message.
        """
        return await asyncio.to_thread(self._post, submission, user_id)

    def _post(self, submission: Submission, user_id: str) -> dict[str, Any]:
        token = self._tokens.setdefault(user_id, tokens.issue(self._settings, user_id, LIFETIME))
        body = {name: value for name, value in msgspec.to_builtins(submission).items() if value is not None}
        try:
            answer = self._http.post(
                self._url, json=body, headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE
            )
            document = answer.json()
        except requests.RequestException as error:
            problem = type(error).__name__
            raise Unavailable(
                f"The gateway at {self._url} does not answer ({problem}). Start it: msgctl start gateway"
            ) from None
        if answer.status_code == 202:
            data: dict[str, Any] = document["data"]
            return data
        fault = document.get("error", {})
        kind = {404: NotFound, 422: InvalidInput, 400: InvalidInput, 413: InvalidInput, 409: Refused}
        raise kind.get(answer.status_code, Unavailable)(
            f"The gateway answered {answer.status_code}: {fault.get('message', '')}", details=fault.get("details")
        )


async def owner_of(session: Session, agent_id: str) -> str:
    """The user an agent belongs to.

    Raises:
        NotFound: there is no such agent.
    """
    agent = await session.agents.find(agent_id)
    if agent is None:
        raise NotFound("There is no such agent. See: msgctl agent list")
    return agent.user_id
