"""`msgctl config`: show, check, explain, and create the configuration."""

import os
import re
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from msgctl.cli.framework.context import global_options_of
from msgctl.cli.framework.help import make_noun_group
from msgctl.cli.framework.options import OutputFormat, OutputOption, RecordFormat, RecordOutputOption
from msgctl.cli.framework.output import print_listing, print_note, print_record, print_text
from msgctl.config.example import render
from msgctl.config.sources import (
    LoadedSettings,
    iter_channel_settings,
    iter_settings,
    section_of,
    setting_descriptions,
    suggest_nearest,
    variable_name,
)
from msgctl.domain.errors import ConfigurationError, NotFound, Refused
from msgctl.operations.startup import DaemonKind, check_startup

app = make_noun_group("Show, check, explain, and create the configuration.")

SECRET_MASK = "********"  # noqa: S105 - a mask, not a secret
BOUND_PHRASES = {
    "ge": "at least",
    "gt": "more than",
    "le": "at most",
    "lt": "less than",
    "min_length": "minimum number of characters:",
    "max_length": "maximum number of characters:",
    "pattern": "matches",
}
URL_CREDENTIALS_PATTERN = re.compile(r"//\S+@")
"""Up to the last `@`, since a password may hold `/` and `@`."""


@app.command(epilog="Example: msgctl config show -o json")
def show(context: typer.Context, output: OutputOption = OutputFormat.TABLE) -> None:
    """Show each setting with its value and origin. Secrets are masked."""
    loaded = global_options_of(context).load_with_origins()
    print_listing(
        _setting_records(loaded),
        output,
        schema="msgctl.setting/1",
        columns={"key": "setting", "value": "value", "origin": "from"},
        key="key",
        extra={"file": str(loaded.path) if loaded.path else None},
    )


@app.command(epilog="Example: msgctl config init")
def init(
    path: Annotated[Path, typer.Argument(help="The new file.")] = Path("config.toml"),
) -> None:
    """Create a configuration file that describes each setting. An existing file is not overwritten."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(render())
    except FileExistsError:
        raise Refused(f"{path} already exists. It was not changed.") from None
    except OSError as error:
        raise ConfigurationError(f"Cannot write {path}: {error.strerror}.") from error
    print_text(str(path))
    print_note("Each setting is commented out. Edit the file, then check it: msgctl config check")


@app.command(epilog="Example: msgctl config check --config /etc/msgctl/config.toml")
def check(
    context: typer.Context,
    daemon: Annotated[
        DaemonKind | None,
        typer.Option(help="The daemon whose requirements to check. Default: all daemons."),
    ] = None,
) -> None:
    """Check the configuration as a daemon reads it. Exit code 78 if it is invalid."""
    loaded = global_options_of(context).load_with_origins()
    check_startup(loaded.settings, *([daemon] if daemon else []))
    print_note(
        f"{loaded.path or 'No file, only environment'}: valid. {len(loaded.origins)} settings are set. "
        "Check the servers: msgctl doctor"
    )


@app.command(epilog="Example: msgctl config explain worker.concurrency")
def explain(
    context: typer.Context,
    key: Annotated[
        str, typer.Argument(help="The setting, as section.name.", autocompletion=lambda: sorted(_field_by_key()))
    ],
    output: RecordOutputOption = RecordFormat.TABLE,
) -> None:
    """Explain a setting: its meaning, value, origin, default, bounds, and environment variable."""
    field_by_key = _field_by_key()
    if key not in field_by_key:
        raise NotFound(
            f"There is no setting {key}{suggest_nearest(key, field_by_key)}. See them: msgctl config show"
        )
    loaded = global_options_of(context).load_with_origins()
    (setting,) = [setting for setting in _setting_records(loaded) if setting["key"] == key]
    section, _, name = key.rpartition(".")
    field = field_by_key[key]
    record = {
        **setting,
        "default": _display_value(field.get_default(call_default_factory=True)),
        "environment": variable_name(section, name),
        "bounds": ", ".join(map(_describe_bound, field.metadata)) or None,
        "meaning": " ".join(setting_descriptions(section)[name].split()),
    }
    print_record(record, output, schema="msgctl.setting/1")


def _field_by_key() -> dict[str, FieldInfo]:
    """Return each setting's field, with those of channels that extensions add."""
    return {f"{section}.{name}": field for section, name, field in (*iter_settings(), *iter_channel_settings())}


def _setting_records(loaded: LoadedSettings) -> list[dict[str, Any]]:
    return [
        {
            "key": f"{section}.{name}",
            "value": _display_value(getattr(section_of(loaded.settings, section), name)),
            "origin": loaded.origins.get((section, name), "default"),
        }
        for section, name, _ in (*iter_settings(), *iter_channel_settings())
    ]


def _describe_bound(constraint: Any) -> str:
    """Return a pydantic constraint as text."""
    for name, words in BOUND_PHRASES.items():
        if (limit := getattr(constraint, name, None)) is not None:
            return f"{words} {limit:g}" if isinstance(limit, float) else f"{words} {limit}"
    return str(constraint)


def _display_value(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return SECRET_MASK if value.get_secret_value() else ""
    return URL_CREDENTIALS_PATTERN.sub(f"//{SECRET_MASK}@", value) if isinstance(value, str) else value
