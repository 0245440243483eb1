"""`config.example.toml`: the model written out, each setting with its sentence and, commented, its default."""

import json
import textwrap
from typing import Any

from pydantic import SecretStr

from msgctl.config.settings import Settings
from msgctl.config.sources import known_settings, sentences_of

WIDTH = 100
HEADER = """\
# Settings of msgctl. Every line that is commented out shows the default.
# A flag wins over the environment, the environment over this file, this file over the default.
# Each setting is also an environment variable, MSGCTL_<SECTION>_<NAME>; with _FILE behind it, it names a file
# that holds the value. This file may hold secrets: keep it readable to its owner alone (chmod 600).
"""


def render() -> str:
    """The whole example file."""
    parts = [HEADER]
    current, sentences = "", dict[str, str]()
    for section, name, setting in known_settings():
        if section != current:
            current = section
            sentences = sentences_of(section)
            parts.append(_section(section))
        parts.append(f"{_comment(sentences[name])}\n# {name} = {_toml(setting.default)}\n")
    return "\n".join(parts)


def _section(section: str) -> str:
    model = Settings.model_fields[section].annotation
    return f"{_comment((model.__doc__ or '').strip() if model else '')}\n[{section}]\n"


def _comment(sentence: str) -> str:
    return textwrap.fill(sentence, WIDTH, initial_indent="## ", subsequent_indent="## ")


def _toml(value: Any) -> str:
    """A default as TOML, which spells strings, numbers, booleans and lists of strings as JSON does."""
    return json.dumps(value.get_secret_value() if isinstance(value, SecretStr) else value)
