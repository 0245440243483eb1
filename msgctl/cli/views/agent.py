"""How one agent is shown: its row, and each of its settings with the value that applies."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from msgctl.agents.agents import Agent
    from msgctl.config.settings import Settings


def describe_agent(agent: "Agent", settings: "Settings", *, as_json: bool) -> dict[str, Any]:
    """Return the fields of an agent.

    Args:
        agent: the agent.
        settings: the configuration, from which the settings come that the agent does not set.
        as_json: `inForce` holds the value and the source of each setting; else each setting is a line of its own.
    """
    from msgctl.agents.agent_settings import settings_in_force  # noqa: PLC0415 - pydantic takes 0.1 s

    record, in_force = agent.to_record(), settings_in_force(agent.settings, settings)
    if as_json:
        return record | {"inForce": {name: one._asdict() for name, one in in_force.items()}}
    del record["settings"]
    return record | {name: f"{one.value} (from {_named(one.source)})" for name, one in in_force.items()}


def _named(source: str) -> str:
    """Return where a value comes from, as a person says it."""
    section, _, name = source.partition(".")
    return f"[{section}] {name}" if name else "the agent"
