"""One agent, and what its webhook path may be."""

import re
from collections.abc import Mapping
from typing import Any

from msgctl.domain.errors import ConfigurationError, InvalidInput
from msgctl.domain.messages import WireStruct

WEBHOOK_PATH_PATTERN = re.compile(r"[A-Za-z0-9_.~-]+(/[A-Za-z0-9_.~-]+)*")
AGENT_COLUMNS = ("id", "user_id", "name", "system_prompt", "webhook_path", "active")


class Agent(WireStruct, kw_only=True, frozen=True):
    """An AI agent of one user."""

    id: str
    user_id: str
    """The `sub` of its owner's tokens; nobody else can name it."""
    name: str
    system_prompt: str = ""
    webhook_path: str
    """The path of its workflow under n8n's `/webhook/`."""
    active: bool = True

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "Agent":
        """An agent from a row of our table or of an operator's own query.

        Raises:
            ConfigurationError: the row lacks a column, or its webhook path could lead out of `/webhook/`.
        """
        missing = [column for column in AGENT_COLUMNS if column not in row]
        if missing:
            raise ConfigurationError(
                f"[postgres] agent_query yields no column {', '.join(missing)}. "
                f"It needs {', '.join(AGENT_COLUMNS)}."
            )
        try:
            path = check_webhook_path(str(row["webhook_path"] or ""))
        except InvalidInput as error:
            raise ConfigurationError(f"Agent {row['id']}: {error.message}") from None
        return cls(
            id=str(row["id"]),
            user_id=str(row["user_id"]),
            name=str(row["name"] or ""),
            system_prompt=str(row["system_prompt"] or ""),
            webhook_path=path,
            active=bool(row["active"]),
        )


def check_webhook_path(path: str) -> str:
    """Give back a path that stays under n8n's `/webhook/`.

    Raises:
        InvalidInput: it is empty, begins with a slash, climbs with `..`, or holds a scheme, a host or a query.
    """
    if len(path) > 255 or not WEBHOOK_PATH_PATTERN.fullmatch(path) or {".", ".."} & set(path.split("/")):
        problem = "must be what stands behind /webhook/ in n8n, e.g. support/chat (letters, digits, - _ . ~ /)"
        raise InvalidInput(f"The webhook path {problem}.", details=[{"field": "webhookPath", "problem": problem}])
    return path
