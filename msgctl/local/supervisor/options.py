"""What `msgctl up` was asked for, and the settings that follow from it and from what is already there."""

import base64
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from msgctl.config.settings import Settings
from msgctl.config.sources import UNPREFIXED_VARIABLES, LoadedSettings, SettingKey, load
from msgctl.local.supervisor import config_file

ADDRESS_SETTINGS: Sequence[SettingKey] = (
    *(("redis", name) for name in ("host", "port", "password", "username", "database", "tls")),
    ("postgres", "url"),
    ("n8n", "base_url"),
    ("gateway", "host"),
    ("gateway", "port"),
)
"""What `up` always writes: where everything is."""
HIDDEN_VARIABLES = {"MSGCTL_CONFIG", "CREDENTIALS_DIRECTORY"}
"""Variables that lead to other settings than those of our file."""


@dataclass(frozen=True)
class UpOptions:
    """What was asked for.

    Args:
        data_dir: the folder of config.toml, the logs and the data of embedded servers.
        config_path: the configuration file of `--config`.
        embedded: bring Redis and PostgreSQL.
        n8n_url: the n8n to use; None is the stand-in if embedded, otherwise the configured one.
        port: the gateway's port; None is the one it had, 0 a free one.
        workers, subscribers, gateways: how many of each.
        accept_data_loss: start although Redis may forget messages.
        stand_in: arguments of the n8n stand-in.
        settings: settings that go into config.toml beside the addresses.
    """

    data_dir: Path
    config_path: Path | None = None
    embedded: bool = False
    n8n_url: str | None = None
    port: int | None = None
    workers: int = 1
    subscribers: int = 1
    gateways: int = 1
    accept_data_loss: bool = False
    stand_in: Sequence[str] = ()
    settings: Mapping[SettingKey, Any] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        """The configuration file that is written."""
        return self.data_dir / "config.toml"

    def read(self) -> LoadedSettings:
        """The settings before anything is started.

        With servers of our own only our own file counts, since ./config.toml speaks of other ones.

        Raises:
            ConfigurationError: a setting is unknown or impossible.
        """
        path = self.config_path
        if path is None and self.embedded:
            path = self.file if self.file.exists() else Path(os.devnull)  # None would look for ./config.toml
        return load(path)

    def write(
        self, before: LoadedSettings, addresses: Mapping[SettingKey, Any]
    ) -> "tuple[Settings, dict[str, str]]":
        """Write the file; return the settings the daemons will have, and their environment.

        Args:
            before: what `read` found.
            addresses: where the servers, the stand-in and the gateway are.

        Raises:
            ConfigurationError: an address is not acceptable, or the file cannot be written.
        """
        values = {key: _plain_value(before.settings, key) for key in ADDRESS_SETTINGS}
        if before.path is not None and before.path.absolute() != self.file:
            ours = str(before.path)
            values |= {
                key: _plain_value(before.settings, key) for key, origin in before.origins.items() if origin == ours
            }
        values |= self._default_values(before) | dict(addresses) | dict(self.settings)
        load(
            before.path, flags=values
        )  # nothing unacceptable may get into the file, or no later run could read it
        config_file.update_settings(self.file, values)
        environment = self._environment(values)
        if sys.stderr.isatty() and ("logs", "format") not in before.origins:
            environment["MSGCTL_LOGS_FORMAT"] = "text"  # the daemons see a pipe, but it ends at a person
        return load(self.file, environ=environment).settings, environment

    def _default_values(self, before: LoadedSettings) -> dict[SettingKey, Any]:
        """Secrets, the log folder and whose pages may come, unless they are set already here or in the file."""
        kept = load(self.file, environ={}).settings if self.file.exists() else Settings()
        made: dict[SettingKey, Any] = {
            ("auth", "jwt_secret"): secrets.token_urlsafe(48),
            ("callback", "secret"): "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(),
            ("logs", "directory"): str(self.data_dir / "logs"),
        }
        if self.embedded and ("gateway", "origins") not in before.origins:
            made["gateway", "origins"] = ["*"]  # to try out a page of one's own; a token is needed all the same
        values = {
            key: _plain_value(before.settings, key) or _plain_value(kept, key) or default
            for key, default in made.items()
        }
        if self.embedded and not self._is_set(("auth", "channels"), before):
            values["auth", "channels"] = "any"  # one person tries it out, with the credentials of that person
        return values

    def _is_set(self, key: SettingKey, before: LoadedSettings) -> bool:
        """Return whether the configuration or our own file sets a value."""
        kept = load(self.file, environ={}).origins if self.file.exists() else {}
        return key in before.origins or key in kept

    def _environment(self, values: Mapping[SettingKey, Any]) -> dict[str, str]:
        """Our environment, without variables that would override what the file says of addresses."""
        names = {f"MSGCTL_{section}_{name}".upper() for section, name in values}
        names |= {name for name, key in UNPREFIXED_VARIABLES.items() if key in values}
        hidden = names | {f"{name}_FILE" for name in names} | HIDDEN_VARIABLES
        environment = {name: value for name, value in os.environ.items() if name not in hidden}
        if self.accept_data_loss:
            environment["MSGCTL_REDIS_ACCEPT_DATA_LOSS"] = "true"
        return environment


def _plain_value(settings: Settings, key: SettingKey) -> Any:
    value = getattr(getattr(settings, key[0]), key[1])
    return value.get_secret_value() if isinstance(value, SecretStr) else value
