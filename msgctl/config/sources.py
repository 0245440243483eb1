"""The sources of settings: flag > environment > file > default. The origin of each value is recorded.

Environment variables are named `MSGCTL_<SECTION>_<NAME>`, e.g. `MSGCTL_WORKER_CONCURRENCY`. REDIS_HOST,
REDIS_PORT, REDIS_PASSWORD, and N8N_BASE_URL work too. With the suffix `_FILE`, each variable names a file that
holds the value. A systemd credential ($CREDENTIALS_DIRECTORY) named `section.name` holds a value as well. So does
one named `msgctl_section.name`, the name that systemd gives to the files of a folder loaded as `msgctl`.

The table `[channels.NAME]` of a channel that an extension adds is a section named `channels.NAME`. Its variables
are `MSGCTL_CHANNELS_NAME_SETTING`. Only extensions that a source mentions are loaded.
"""

import difflib
import json
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from msgctl.config.base import Section
from msgctl.config.settings import Settings, channel_model
from msgctl.config.validation_messages import describe_validation_fault
from msgctl.domain.errors import ConfigurationError
from msgctl.domain.extensions import CHANNELS

UNPREFIXED_VARIABLES = {
    "REDIS_HOST": ("redis", "host"),
    "REDIS_PORT": ("redis", "port"),
    "REDIS_PASSWORD": ("redis", "password"),
    "N8N_BASE_URL": ("n8n", "base_url"),
}
DEFAULT_FILES = (Path("config.toml"), Path("/etc/msgctl/config.toml"))
ENVIRONMENT_PREFIX = "MSGCTL_"
TEXT_ENCODING = "utf-8-sig"
"""UTF-8. Editors of Windows put a byte order mark before it, which is not part of a setting."""
CREDENTIAL_PREFIX = "msgctl_"
CLI_OPTION_VARIABLES = {"MSGCTL_CONFIG", "MSGCTL_SMOKE_TOKEN"}
"""Variables that options of the command line read, and that name no setting."""

CHANNELS_SECTION = "channels"
CHANNEL_PREFIX = f"{CHANNELS_SECTION}."
"""The prefix of the section of a channel that an extension adds, e.g. `channels.sms`."""

SettingKey = tuple[str, str]
"""A setting by section and name."""
SettingFields = dict[SettingKey, FieldInfo]
"""The pydantic field of each setting that a source may name."""
FoundValues = dict[SettingKey, tuple[Any, str]]
"""Values, each with its origin."""


@dataclass(frozen=True)
class LoadedSettings:
    """The settings, and the origin of each value that is not a default."""

    settings: Settings
    origins: dict[SettingKey, str] = field(default_factory=dict)
    path: Path | None = None
    """The file that was read, if there was one."""


def load(
    path: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[SettingKey, Any] | None = None,
) -> LoadedSettings:
    """Read every source and check the result.

    Args:
        path: the file that `--config` or MSGCTL_CONFIG names. None: the first existing file of `DEFAULT_FILES`.
        environ: the environment. None: the environment of this process.
        flags: settings given on the command line.

    Raises:
        ConfigurationError: lists every unknown name (with the nearest known one) and every bad value.
    """
    environ = os.environ if environ is None else environ
    problems: list[str] = []
    file = _find_file(path, environ)
    document = _parse_file(file) if file else {}
    fields = SETTING_FIELDS | _fields_of_mentioned_channels(document, environ)
    found: FoundValues = {
        **(_read_document(document, file, fields, problems) if file else {}),
        **_read_credentials(environ, fields, problems),
        **_read_environment(environ, fields, problems),
        **{key: (value, "flag") for key, value in (flags or {}).items()},
    }
    settings = _validate(found, problems)
    return LoadedSettings(settings, {key: origin for key, (_, origin) in found.items()}, file)


def iter_channel_settings(channels: Iterable[str] | None = None) -> Iterator[tuple[str, str, FieldInfo]]:
    """Yield each setting of channels that extensions add, as `iter_settings` does; loads these extensions.

    Args:
        channels: their names; None: all of them.

    Raises:
        ConfigurationError: an extension cannot be loaded.
    """
    for channel in CHANNELS.names() if channels is None else channels:
        if CHANNELS.load(channel).settings_model:
            for name, setting in channel_model(channel).model_fields.items():
                yield f"{CHANNEL_PREFIX}{channel}", name, setting


def section_of(settings: Settings, section: str) -> Section:
    """Return a section of the settings; the defaults, for a channel of an extension that is not set up."""
    if not section.startswith(CHANNEL_PREFIX):
        value: Section = getattr(settings, section)
        return value
    channel = section.removeprefix(CHANNEL_PREFIX)
    return settings.channels.get(channel) or channel_model(channel)()


def iter_settings() -> Iterator[tuple[str, str, FieldInfo]]:
    """Yield each setting as section, name, and pydantic's field, in the order of the model."""
    for section, info in Settings.model_fields.items():
        model = info.annotation
        if isinstance(model, type) and issubclass(model, Section):
            for name, setting in model.model_fields.items():
                yield section, name, setting


def setting_descriptions(section: str) -> dict[str, str]:
    """Return the description of each setting of a section."""
    if section.startswith(CHANNEL_PREFIX):
        return channel_model(section.removeprefix(CHANNEL_PREFIX)).descriptions()
    model = Settings.model_fields[section].annotation
    return model.descriptions() if isinstance(model, type) and issubclass(model, Section) else {}


def variable_name(section: str, name: str) -> str:
    """Return the environment variable of a setting."""
    return f"{ENVIRONMENT_PREFIX}{section}_{name}".upper().replace(".", "_")


SETTING_FIELDS = {(section, name): setting for section, name, setting in iter_settings()}
SETTING_BY_VARIABLE = UNPREFIXED_VARIABLES | {variable_name(*key): key for key in SETTING_FIELDS}
"""The setting of each variable. Variables with msgctl's prefix come last and win over those without it."""


def suggest_nearest(word: str, known: Iterable[str], *, prefix: str = "") -> str:
    """Return ` (did you mean …?)` with the most similar known word, or nothing. A common prefix does not count."""
    tails = [name.removeprefix(prefix) for name in known if name.startswith(prefix)]
    found = difflib.get_close_matches(word.removeprefix(prefix), tails, n=1, cutoff=0.6)
    return f" (did you mean {prefix}{found[0]}?)" if found else ""


def _find_file(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    named = path or (Path(environ["MSGCTL_CONFIG"]) if environ.get("MSGCTL_CONFIG") else None)
    try:
        if named is None:
            return next((candidate for candidate in DEFAULT_FILES if candidate.is_file()), None)
        if named.exists() and not named.is_dir():  # a pipe works too: --config <(…)
            return named
    except OSError as error:
        raise ConfigurationError(f"Cannot look for the configuration file: {error}") from error
    raise ConfigurationError(f"There is no configuration file {named}. Make one: msgctl config init {named}")


def _parse_file(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(TEXT_ENCODING))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"Cannot read {file}: {error}") from error


def _fields_of_mentioned_channels(document: Mapping[str, Any], environ: Mapping[str, str]) -> SettingFields:
    """Return the settings of the channels that a source mentions, so that no other extension is loaded."""
    tables = document.get(CHANNELS_SECTION)
    named = set(tables) if isinstance(tables, dict) else set()
    folder = environ.get("CREDENTIALS_DIRECTORY")
    files = (
        [file.name.removeprefix(CREDENTIAL_PREFIX) for file in Path(folder).glob(f"*{CHANNEL_PREFIX}*")]
        if folder
        else []
    )
    variables = [name for name in environ if name.startswith(f"{ENVIRONMENT_PREFIX}CHANNELS_")]
    if not (named or files or variables):
        return {}
    mentioned = [
        channel
        for channel in CHANNELS.names()
        if channel in named
        or any(file.startswith(f"{CHANNEL_PREFIX}{channel}.") for file in files)
        or any(name.startswith(variable_name(f"{CHANNEL_PREFIX}{channel}", "")) for name in variables)
    ]
    return {(section, name): setting for section, name, setting in iter_channel_settings(mentioned)}


def _read_document(
    document: Mapping[str, Any], file: Path, fields: SettingFields, problems: list[str]
) -> FoundValues:
    found: FoundValues = {}
    for section, content in document.items():
        if section not in Settings.model_fields:
            problems.append(
                f"unknown section [{section}] in {file}{suggest_nearest(section, Settings.model_fields)}"
            )
        elif not isinstance(content, dict):
            problems.append(f"{section} in {file} must be a section, [{section}]")
        elif section == CHANNELS_SECTION:
            found.update(_read_channel_tables(content, file, fields, problems))
        else:
            for name, value in content.items():
                found.update(_read_file_setting((section, name), value, file, fields, problems))
    return found


def _read_channel_tables(
    tables: Mapping[str, Any], file: Path, fields: SettingFields, problems: list[str]
) -> FoundValues:
    found: FoundValues = {}
    for channel, content in tables.items():
        section = f"{CHANNEL_PREFIX}{channel}"
        if channel not in CHANNELS.names():
            nearest = suggest_nearest(channel, CHANNELS.names())
            problems.append(f"unknown section [{section}] in {file}{nearest}: no installed extension adds it")
        elif not isinstance(content, dict):
            problems.append(f"{section} in {file} must be a section, [{section}]")
        else:
            for name, value in content.items():
                found.update(_read_file_setting((section, name), value, file, fields, problems))
    return found


def _read_file_setting(
    key: SettingKey, value: Any, file: Path, fields: SettingFields, problems: list[str]
) -> FoundValues:
    """Return one setting of the file. pydantic would read `true` as the number 1, which nobody means."""
    section, name = key
    if key not in fields:
        siblings = [known for owner, known in fields if owner == section]
        problems.append(f"unknown setting {section}.{name} in {file}{suggest_nearest(name, siblings)}")
    elif isinstance(value, bool) and fields[key].annotation is not bool:
        problems.append(f"{section}.{name} (from {file}): must not be true or false")
    else:
        return {key: (value, str(file))}
    return {}


def _read_environment(environ: Mapping[str, str], fields: SettingFields, problems: list[str]) -> FoundValues:
    setting_by_variable = SETTING_BY_VARIABLE | {
        variable_name(*key): key for key in fields if key not in SETTING_FIELDS
    }
    problems.extend(
        f"unknown environment variable {name}"
        f"{suggest_nearest(name, setting_by_variable, prefix=ENVIRONMENT_PREFIX)}"
        for name in sorted(environ)
        if name.startswith(ENVIRONMENT_PREFIX)
        and name not in CLI_OPTION_VARIABLES
        and name.removesuffix("_FILE") not in setting_by_variable
    )
    found: FoundValues = {}
    for name, key in setting_by_variable.items():
        if environ.get(name):
            found[key] = (_parse_value(environ[name], fields[key]), name)
        elif environ.get(f"{name}_FILE"):
            file = Path(environ[f"{name}_FILE"])
            found.update(_read_secret_file(file, key, fields[key], f"{name}_FILE", problems))
    return found


def _read_credentials(environ: Mapping[str, str], fields: SettingFields, problems: list[str]) -> FoundValues:
    folder = environ.get("CREDENTIALS_DIRECTORY")
    found: FoundValues = {}
    for (section, name), setting in fields.items() if folder else ():
        file = Path(folder or "", f"{section}.{name}")
        if not file.is_file():
            file = file.with_name(f"{CREDENTIAL_PREFIX}{file.name}")
        if file.is_file():
            found.update(_read_secret_file(file, (section, name), setting, f"credential {file.name}", problems))
    return found


def _read_secret_file(
    file: Path, key: SettingKey, setting: FieldInfo, origin: str, problems: list[str]
) -> FoundValues:
    try:
        return {key: (_parse_value(file.read_text(TEXT_ENCODING).rstrip("\r\n"), setting), origin)}
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"{'.'.join(key)} (from {origin}): cannot read {file} ({type(error).__name__})")
        return {}


def _parse_value(text: str, setting: FieldInfo) -> Any:
    """Parse a value: a list has commas, or is written as in the file. pydantic parses the other types."""
    if not isinstance(setting.default, list):
        return text
    with suppress(ValueError):  # a host such as `[::1]:8080` is not JSON
        if text.lstrip().startswith("[") and isinstance(items := json.loads(text), list):
            return items
    return [item.strip() for item in text.split(",") if item.strip()]


def _validate(found: FoundValues, problems: list[str]) -> Settings:
    document: dict[str, dict[str, Any]] = {}
    for (section, name), (value, _) in found.items():
        document.setdefault(section, {})[name] = value
    settings = Settings()
    channels: dict[str, Section] = {}
    for section in [section for section in document if section.startswith(CHANNEL_PREFIX)]:
        channel, table = section.removeprefix(CHANNEL_PREFIX), document.pop(section)
        try:
            channels[channel] = channel_model(channel).model_validate(table)
        except ValidationError as error:
            problems.extend(_describe_faults(error, found, section))
    try:
        settings = Settings.model_validate(document | ({CHANNELS_SECTION: channels} if channels else {}))
    except ValidationError as error:
        problems.extend(_describe_faults(error, found))
    if problems:
        raise ConfigurationError(f"The configuration is not acceptable: {'; '.join(problems)}.")
    return settings


def _describe_faults(error: ValidationError, found: FoundValues, *section: str) -> Iterator[str]:
    """Yield one sentence for each fault; `section` is that of the validated table, if it was only one."""
    for fault in error.errors(include_input=False, include_url=False):
        owner, name = (*map(str, (*section, *fault["loc"])), "")[:2]  # a fault of several settings names none
        place = f"{owner}.{name} (from {found[owner, name][1]})" if (owner, name) in found else f"[{owner}]"
        yield f"{place}: {describe_validation_fault(fault)}"
