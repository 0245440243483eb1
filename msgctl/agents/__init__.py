"""Agents in PostgreSQL: who answers a customer, read through a short memory that hears of changes at once."""

from typing import TYPE_CHECKING

from msgctl.exports import lazily

if TYPE_CHECKING:
    from msgctl.agents.agent import Agent, check_webhook_path
    from msgctl.agents.store import Agents
    from msgctl.postgres import migrate
else:
    __getattr__ = lazily(
        __name__,
        {
            "agent": "Agent check_webhook_path",
            "store": "Agents",
            "msgctl.postgres": "migrate",
        },
    )

__all__ = ["Agent", "Agents", "check_webhook_path", "migrate"]
