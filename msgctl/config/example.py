"""The generator of `config.example.toml`: each setting with its description and its default, commented out."""

import json
import textwrap
from typing import Any

from pydantic import SecretStr

from msgctl.config.settings import Settings
from msgctl.config.sources import iter_settings, setting_descriptions

COMMENT_WIDTH = 100
EXAMPLE_HEADER = """\
# Settings of msgctl. Every line that is commented out shows the default.
# A flag overrides the environment, the environment overrides this file, and this file overrides the default.
# Each setting is also an environment variable, MSGCTL_<SECTION>_<NAME>. With the suffix _FILE, the variable
# names a file that holds the value. This file may hold secrets: make it readable to its owner only (chmod 600).
"""


def render() -> str:
    """Return the text of the example file."""
    parts = [EXAMPLE_HEADER]
    current, sentences = "", dict[str, str]()
    for section, name, setting in iter_settings():
        if section != current:
            current = section
            sentences = setting_descriptions(section)
            parts.append(_render_section(section))
        parts.append(f"{_render_comment(sentences[name])}\n# {name} = {_render_toml_value(setting.default)}\n")
    return "\n".join(parts)


def _render_section(section: str) -> str:
    model = Settings.model_fields[section].annotation
    return f"{_render_comment((model.__doc__ or '').strip() if model else '')}\n[{section}]\n"


def _render_comment(sentence: str) -> str:
    return textwrap.fill(sentence, COMMENT_WIDTH, initial_indent="## ", subsequent_indent="## ")


def _render_toml_value(value: Any) -> str:
    """Return a default as TOML, which writes strings, numbers, booleans, and lists of strings as JSON does."""
    plain = value.get_secret_value() if isinstance(value, SecretStr) else value
    return json.dumps(plain, ensure_ascii=False)
