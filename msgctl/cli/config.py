"""`msgctl config`: what is set, and where it came from."""

import os
import re
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import SecretStr

from msgctl.cli._context import context_of
from msgctl.cli._noun import noun
from msgctl.cli._output import (
    Output,
    RecordOutput,
    RecordShape,
    Shape,
    note,
    print_listing,
    print_record,
    print_text,
)
from msgctl.config.example import render
from msgctl.config.sources import FIELDS, PREFIX, Loaded, known_settings, nearest, sentences_of
from msgctl.errors import ConfigurationError, NotFound, Refused

app = noun("What is set, and where it came from.")

MASK = "********"
BOUNDS = {
    "ge": "at least",
    "gt": "more than",
    "le": "at most",
    "lt": "less than",
    "min_length": "at least so many characters:",
    "max_length": "at most so many characters:",
    "pattern": "like",
}
USER_INFORMATION = re.compile(r"//[^/@\s]+@")


@app.command(epilog="Example: msgctl config show -o json")
def show(context: typer.Context, output: Output = Shape.TABLE) -> None:
    """Every setting, its value and where it came from; secrets are masked."""
    loaded = context_of(context).load_with_origins()
    print_listing(
        _settings(loaded),
        output,
        schema="msgctl.setting/1",
        columns={"key": "setting", "value": "value", "origin": "from"},
        key="key",
        extra={"file": str(loaded.path) if loaded.path else None},
    )


@app.command(epilog="Example: msgctl config init")
def init(
    path: Annotated[Path, typer.Argument(help="Where to.")] = Path("config.toml"),
) -> None:
    """Write a file with every setting, its default and a sentence on it; never over an existing one."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(render())
    except FileExistsError:
        raise Refused(f"{path} exists and is left as it is.") from None
    except OSError as error:
        raise ConfigurationError(f"Cannot write {path}: {error.strerror}.") from error
    print_text(str(path))
    note("Every line is commented out; set what differs, then: msgctl config show")


@app.command(epilog="Example: msgctl config check --config /etc/msgctl/config.toml")
def check(context: typer.Context) -> None:
    """Read the configuration as a daemon does and say what is wrong with it; exit code 78 if anything is."""
    loaded = context_of(context).load_with_origins()
    note(
        f"{loaded.path or 'No file; the environment and defaults'}: fine, {len(loaded.origins)} settings are set. "
        "Whether what they name is there: msgctl doctor"
    )


@app.command(epilog="Example: msgctl config explain worker.concurrency")
def explain(
    context: typer.Context,
    key: Annotated[str, typer.Argument(help="The setting, section.name.", autocompletion=lambda: sorted(KEYS))],
    output: RecordOutput = RecordShape.TABLE,
) -> None:
    """One setting: what it does, its value and where that came from, its default, its bounds and its variable."""
    if key not in KEYS:
        raise NotFound(f"There is no setting {key}{nearest(key, KEYS)}. See them: msgctl config show")
    loaded = context_of(context).load_with_origins()
    (setting,) = [setting for setting in _settings(loaded) if setting["key"] == key]
    section, name = key.split(".")
    field = FIELDS[section, name]
    record = {
        **setting,
        "default": _shown(field.get_default(call_default_factory=True)),
        "environment": f"{PREFIX}{section}_{name}".upper(),
        "bounds": ", ".join(map(_bound, field.metadata)) or None,
        "meaning": " ".join(sentences_of(section)[name].split()),
    }
    print_record(record, output, schema="msgctl.setting/1")


KEYS = [f"{section}.{name}" for section, name, _ in known_settings()]


def _settings(loaded: Loaded) -> list[dict[str, Any]]:
    return [
        {
            "key": f"{section}.{name}",
            "value": _shown(getattr(getattr(loaded.settings, section), name)),
            "origin": loaded.origins.get((section, name), "default"),
        }
        for section, name, _ in known_settings()
    ]


def _bound(constraint: Any) -> str:
    """A constraint of pydantic in words."""
    for name, words in BOUNDS.items():
        if (limit := getattr(constraint, name, None)) is not None:
            return f"{words} {limit:g}" if isinstance(limit, float) else f"{words} {limit}"
    return str(constraint)


def _shown(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return MASK if value.get_secret_value() else ""
    return USER_INFORMATION.sub(f"//{MASK}@", value) if isinstance(value, str) else value
