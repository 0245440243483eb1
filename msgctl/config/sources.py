"""Where settings come from: flag > environment > file > default, and which of them won for each one.

Environment names are `MSGCTL_<SECTION>_<NAME>`, e.g. `MSGCTL_WORKER_CONCURRENCY`; the seed's REDIS_HOST,
REDIS_PORT, REDIS_PASSWORD and N8N_BASE_URL work as they are. Any of them with `_FILE` behind it names a file
that holds the value; so does a systemd credential called `section.name` ($CREDENTIALS_DIRECTORY).
"""

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from msgctl.config.settings import Section, Settings
from msgctl.errors import ConfigurationError

SEED_NAMES = {
    "REDIS_HOST": ("redis", "host"),
    "REDIS_PORT": ("redis", "port"),
    "REDIS_PASSWORD": ("redis", "password"),
    "N8N_BASE_URL": ("n8n", "base_url"),
}
DEFAULT_FILES = (Path("config.toml"), Path("/etc/msgctl/config.toml"))
PREFIX = "MSGCTL_"
OUTSIDE_MODEL = {"MSGCTL_CONFIG"}

Key = tuple[str, str]
"""A setting by section and name."""


@dataclass(frozen=True)
class Loaded:
    """The settings and where each value that is not a default came from."""

    settings: Settings
    origins: dict[Key, str] = field(default_factory=dict)
    path: Path | None = None
    """The file that was read, if there was one."""


def load(
    path: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[Key, Any] | None = None,
) -> Loaded:
    """Read every source and check the result.

    Args:
        path: the file that `--config` or MSGCTL_CONFIG names; None looks at `DEFAULT_FILES`.
        environ: the environment; None means this process's.
        flags: settings given on the command line.

    Raises:
        ConfigurationError: each unknown name (with the nearest known one) and each bad value, all at once.
    """
    environ = os.environ if environ is None else environ
    file = _find_file(path, environ)
    values: dict[Key, Any] = {}
    origins: dict[Key, str] = {}
    for origin, found in (
        (str(file), _from_file(file) if file else {}),
        ("credential", _from_credentials(environ)),
        ("environment", _from_environment(environ)),
        ("flag", dict(flags or {})),
    ):
        for key, value in found.items():
            values[key], origins[key] = value, origin
    return Loaded(_validate(values), origins, file)


def known_settings() -> Iterator[tuple[str, str, Any]]:
    """Each setting as section, name and pydantic's field, in the model's order."""
    for section, info in Settings.model_fields.items():
        model = info.annotation
        if isinstance(model, type) and issubclass(model, Section):
            for name, setting in model.model_fields.items():
                yield section, name, setting


def nearest(word: str, known: list[str]) -> str:
    """` (did you mean …?)` for the known word most like this one, or nothing."""
    found = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f" (did you mean {found[0]}?)" if found else ""


def _find_file(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    named = path or (Path(environ["MSGCTL_CONFIG"]) if environ.get("MSGCTL_CONFIG") else None)
    if named is not None:
        if not named.is_file():
            raise ConfigurationError(f"There is no configuration file {named}. Make one: msgctl config init")
        return named
    return next((candidate for candidate in DEFAULT_FILES if candidate.is_file()), None)


def _from_file(file: Path) -> dict[Key, Any]:
    try:
        document = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"Cannot read {file}: {error}") from error
    known: dict[str, list[str]] = {}
    for section, name, _ in known_settings():
        known.setdefault(section, []).append(name)
    problems = []
    values: dict[Key, Any] = {}
    for section, content in document.items():
        if section not in known:
            problems.append(f"unknown section [{section}]{nearest(section, list(known))}")
        elif not isinstance(content, dict):
            problems.append(f"{section} must be a section, [{section}]")
        else:
            for name, value in content.items():
                if name not in known[section]:
                    problems.append(f"unknown setting {section}.{name}{nearest(name, known[section])}")
                values[section, name] = value
    if problems:
        raise ConfigurationError(f"{file}: {'; '.join(problems)}.")
    return values


def _from_environment(environ: Mapping[str, str]) -> dict[Key, Any]:
    names = {f"{PREFIX}{section}_{name}".upper(): (section, name) for section, name, _ in known_settings()}
    aliases = SEED_NAMES | names  # ours come later and win
    unknown = [
        name
        for name in environ
        if name.startswith(PREFIX) and name not in OUTSIDE_MODEL and name.removesuffix("_FILE") not in names
    ]
    if unknown:
        hints = ", ".join(name + nearest(name, list(names)) for name in sorted(unknown))
        raise ConfigurationError(
            f"Unknown environment variable {hints}. List the settings: msgctl config show"
        )
    values: dict[Key, Any] = {}
    for name, key in aliases.items():
        if environ.get(name):
            values[key] = _parse(environ[name], key)
        elif environ.get(f"{name}_FILE"):
            values[key] = _parse(_read_secret(Path(environ[f"{name}_FILE"])), key)
    return values


def _from_credentials(environ: Mapping[str, str]) -> dict[Key, Any]:
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return {}
    return {
        (section, name): _parse(_read_secret(Path(folder, f"{section}.{name}")), (section, name))
        for section, name, _ in known_settings()
        if Path(folder, f"{section}.{name}").is_file()
    }


def _read_secret(file: Path) -> str:
    try:
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"Cannot read the secret in {file}: {error}") from error


def _parse(text: str, key: Key) -> Any:
    """A list setting is written with commas in the environment; pydantic reads the other types from text."""
    default = getattr(getattr(Settings(), key[0]), key[1])
    return [item.strip() for item in text.split(",") if item.strip()] if isinstance(default, list) else text


def _validate(values: Mapping[Key, Any]) -> Settings:
    document: dict[str, dict[str, Any]] = {}
    for (section, name), value in values.items():
        document.setdefault(section, {})[name] = value
    try:
        return Settings.model_validate(document)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in error.errors()
        )
        raise ConfigurationError(f"The configuration is not acceptable: {problems}.") from None
