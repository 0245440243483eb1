"""An agent as a person reads it: its row, and each of its settings with the value that applies."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from msgctl.agents.agents import Agent
    from msgctl.config.settings import Settings


def describe_agent(agent: "Agent", settings: "Settings", *, as_json: bool) -> dict[str, Any]:
    """Return the fields of an agent.

    Args:
        agent: the agent.
        settings: the configuration, which applies to settings that the agent does not override.
        as_json: return value and source of each setting in `inForce`, instead of one field for each setting.
    """
    from msgctl.agents.agent_settings import settings_in_force  # noqa: PLC0415 - pydantic takes 0.1 s

    record, in_force = agent.to_record(), settings_in_force(agent.settings, settings)
    if as_json:
        return record | {"inForce": {name: setting._asdict() for name, setting in in_force.items()}}
    del record["settings"]
    return record | {
        name: f"{setting.value} (from {_named(setting.source)})" for name, setting in in_force.items()
    }


def _named(source: str) -> str:
    """Return the source of a value, for people."""
    section, _, name = source.partition(".")
    return f"[{section}] {name}" if name else "the agent"
