"""The example file: equal to the model, and without effect until it is edited."""

import tomllib
from pathlib import Path

import pytest
from pydantic import SecretStr

from msgctl.config.example import render
from msgctl.config.settings import Settings
from msgctl.config.sources import iter_settings, load, setting_descriptions

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"


def test_example_file_equals_the_generated_one() -> None:
    """The file in the tree is the file that `msgctl config init` writes."""
    assert EXAMPLE.read_text("utf-8") == render(), "Write the file again: make docs"


def test_example_file_sets_no_value() -> None:
    """All its settings are commented out."""
    loaded = load(EXAMPLE, environ={})
    assert (loaded.settings, loaded.origins) == (Settings(), {})


def test_example_file_has_every_default_when_uncommented() -> None:
    """Without the single hash of each setting, it is valid TOML with all defaults."""
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
def test_every_setting_has_a_description(key: str) -> None:
    """A description is at least one sentence."""
    section, name = key.split(".")
    description = setting_descriptions(section)[name]
    assert description
    assert description.endswith(".")
