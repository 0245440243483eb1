"""Agents in PostgreSQL: who answers a customer, read through a short memory that hears of changes at once."""

from msgctl.agents.agent import Agent, check_webhook_path
from msgctl.agents.store import Agents
from msgctl.postgres import migrate

__all__ = ["Agent", "Agents", "check_webhook_path", "migrate"]
