"""`config.example.toml` and the model are equal."""

import tomllib
from pathlib import Path

import pytest
from pydantic import SecretStr

from msgctl.config.example import render
from msgctl.config.settings import Settings
from msgctl.config.sources import iter_settings, load, setting_descriptions

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"


def test_the_example_is_what_the_model_says() -> None:
    """The file in the tree is the file that `msgctl config init` writes."""
    assert EXAMPLE.read_text("utf-8") == render()


def test_the_example_changes_nothing() -> None:
    """As it is, it sets no value."""
    loaded = load(EXAMPLE, environ={})
    assert (loaded.settings, loaded.origins) == (Settings(), {})


def test_every_line_of_the_example_can_be_uncommented() -> None:
    """With the single hash taken from each setting, it is TOML and says every default."""
    lines = [
        line.removeprefix("# ")
        if not line.startswith("##") and " = " in line
        else ""
        if line.startswith("#")
        else line
        for line in render().splitlines()
    ]
    document = tomllib.loads("\n".join(lines))
    for section, name, setting in iter_settings():
        default = setting.default
        value = default.get_secret_value() if isinstance(default, SecretStr) else default
        assert document[section][name] == value


@pytest.mark.parametrize("key", [f"{section}.{name}" for section, name, _ in iter_settings()])
def test_every_setting_has_its_sentence(key: str) -> None:
    """A setting without a description would be a line nobody understands."""
    section, name = key.split(".")
    description = setting_descriptions(section)[name]
    assert description
    assert description.endswith(".")
