"""What the global options say, for every command: which configuration, how talkative."""

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
"""Whether a person may be asked; `--no-input` says no."""


@dataclass
class GlobalOptions:
    """The global options of one invocation."""

    config_path: Path | None = None
    """From `--config` or MSGCTL_CONFIG; None looks in the usual places."""
    debug: bool = False
    """Show tracebacks."""

    @property
    def log_overrides(self) -> "dict[SettingKey, Any]":
        """The log of a command goes to its terminal alone, and only errors unless `--debug` asks for more."""
        return {("logs", "level"): "debug" if self.debug else "error", ("logs", "directory"): ""}

    def load(self, flags: "Mapping[SettingKey, Any] | None" = None) -> "Settings":
        """The settings of this invocation.

        Args:
            flags: settings that options of the command override, by section and name; those of None do not count.

        Raises:
            ConfigurationError: every unknown name and bad value at once.
        """
        return self.load_with_origins(flags).settings

    def load_with_origins(self, flags: "Mapping[SettingKey, Any] | None" = None) -> "LoadedSettings":
        """The same, and where each value came from."""
        from msgctl.config.sources import load  # noqa: PLC0415 - pydantic takes 0.1 s that `msgctl --help` need not wait

        given = {key: value for key, value in (flags or {}).items() if value is not None}
        return load(self.config_path, flags=given)


def global_options_of(context: typer.Context) -> GlobalOptions:
    """The global options, from within a command."""
    return context.ensure_object(GlobalOptions)
