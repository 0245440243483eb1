"""The settings of one agent: their model, their defaults in the configuration, and their validation."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import ValidationError

from msgctl.config.base import Section
from msgctl.config.settings import Settings
from msgctl.config.sources import suggest_nearest
from msgctl.config.validation_messages import describe_validation_fault
from msgctl.domain.errors import InvalidInput
from msgctl.domain.messages import ReplyFormat


class AgentSettings(Section):
    """What is set for one agent. A setting of None comes from the configuration."""

    format: ReplyFormat | None = None
    """What happens to the Markdown of its replies on phones: `auto`, `plain`, or `as-is`."""


CONFIGURATION_DEFAULTS = {"format": ("reply", "format")}
"""The section and the name in the configuration that each setting of an agent overrides."""


class SettingInForce(NamedTuple):
    """The value of a setting that applies to an agent."""

    value: Any
    source: str
    """`agent`, or the setting of the configuration, e.g. `reply.format`."""


def settings_in_force(own: AgentSettings, settings: Settings) -> dict[str, SettingInForce]:
    """Return each setting of an agent with the value that applies, and where that comes from.

    Args:
        own: what is set for the agent.
        settings: the configuration.
    """
    found = {}
    for name, (section, key) in CONFIGURATION_DEFAULTS.items():
        value = getattr(own, name)
        if value is None:
            found[name] = SettingInForce(getattr(getattr(settings, section), key), f"{section}.{key}")
        else:
            found[name] = SettingInForce(value, "agent")
    return found


def read_agent_settings(column: object) -> AgentSettings:
    """Read the column `settings` of an agent's row: an object, its JSON as text, or nothing.

    Names that msgctl does not know are ignored: the column may be the operator's own, or a later version's.

    Raises:
        InvalidInput: it is not an object, or a value is not valid.
    """
    if isinstance(column, str | bytes):
        try:
            column = json.loads(column or "{}")
        except ValueError:
            raise InvalidInput("The column settings must hold a JSON object.") from None
    if column is None:
        return AgentSettings()
    if not isinstance(column, Mapping):
        raise InvalidInput("The column settings must hold a JSON object.")
    return _validate({name: column[name] for name in AgentSettings.model_fields if name in column})


def parse_changes(words: Sequence[str]) -> dict[str, Any]:
    """Read settings as the command line takes them, e.g. `format=plain`. An empty value removes the setting.

    Args:
        words: one `name=value` each.

    Returns:
        The validated value of each name; None: remove it.

    Raises:
        InvalidInput: there are no words, a word has no `=`, the name is not known, or the value is not valid.
    """
    if not words:
        raise InvalidInput(f"Write NAME=VALUE. The settings are: {', '.join(AgentSettings.model_fields)}.")
    given: dict[str, str | None] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise InvalidInput(f"{word!r} is not a setting. Write NAME=VALUE, e.g. format=plain.")
        if name not in AgentSettings.model_fields:
            nearest = suggest_nearest(name, AgentSettings.model_fields)
            known = ", ".join(AgentSettings.model_fields)
            raise InvalidInput(f"An agent has no setting {name!r}{nearest}. It has: {known}.")
        given[name] = value or None
    return _validate(given).model_dump(include=set(given))


def _validate(values: Mapping[str, Any]) -> AgentSettings:
    try:
        return AgentSettings.model_validate(values)
    except ValidationError as error:
        problems = [(str(fault["loc"][0]), describe_validation_fault(fault)) for fault in error.errors()]
    text = "; ".join(f"{name} {problem}" for name, problem in problems)
    raise InvalidInput(
        f"The setting {text}.", details=[{"field": name, "problem": problem} for name, problem in problems]
    )
