"""The global options, for every command: the configuration file and the verbosity."""

from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from msgctl.config.settings import Settings
    from msgctl.config.sources import LoadedSettings, SettingKey

may_prompt: ContextVar[bool] = ContextVar("asking", default=True)
"""Whether a person may be prompted. `--no-input` turns it off."""


@dataclass
class GlobalOptions:
    """The global options of one invocation."""

    config_path: Path | None = None
    """From `--config` or MSGCTL_CONFIG. None searches the default places."""
    debug: bool = False
    """Print tracebacks."""

    @property
    def log_overrides(self) -> "dict[SettingKey, Any]":
        """The log settings of a command: to the terminal only, errors only unless `--debug` was given."""
        return {("logs", "level"): "debug" if self.debug else "error", ("logs", "directory"): ""}

    def load(self, flags: "Mapping[SettingKey, Any] | None" = None) -> "Settings":
        """Return the settings of this invocation.

        Args:
            flags: settings that options of the command override, by section and name. None values are ignored.

        Raises:
            ConfigurationError: names or values are invalid. The error lists all of them.
        """
        return self.load_with_origins(flags).settings

    def load_with_origins(self, flags: "Mapping[SettingKey, Any] | None" = None) -> "LoadedSettings":
        """Return the settings as `load` does, with the origin of each value."""
        from msgctl.config.sources import load  # noqa: PLC0415 - `msgctl --help` must not wait 0.1 s for pydantic

        given = {key: value for key, value in (flags or {}).items() if value is not None}
        return load(self.config_path, flags=given)


def global_options_of(context: typer.Context) -> GlobalOptions:
    """Return the global options, from within a command."""
    return context.ensure_object(GlobalOptions)
