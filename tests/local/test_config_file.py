"""The written config.toml: made private, and afterwards changed only where it must."""

import tomllib
from pathlib import Path

from msgctl.local.supervisor.config_file import update_settings

KEPT = """\
# my own words

[worker]
concurrency = 9   # mine

[redis] # theirs
port = 1
host = "old"

timeout = 2.5

[logs]
level = "debug"
"""


def test_a_new_file_is_private_and_holds_what_was_given(tmp_path: Path) -> None:
    """Mode 0600 from the first moment, each value under its section, every type as TOML has it."""
    file = tmp_path / "config.toml"
    update_settings(
        file,
        {("redis", "port"): 7, ("redis", "tls"): False, ("auth", "jwt_secret"): 'a"b\\c', ("x", "y"): ["é"]},
    )
    assert file.stat().st_mode & 0o777 == 0o600
    assert tomllib.loads(file.read_text("utf-8")) == {
        "redis": {"port": 7, "tls": False},
        "auth": {"jwt_secret": 'a"b\\c'},
        "x": {"y": ["é"]},
    }
    assert list(tmp_path.iterdir()) == [file]


def test_an_update_leaves_everything_else_to_its_owner(tmp_path: Path) -> None:
    """Comments, order and foreign settings stay; a known one is replaced, a new one joins its section."""
    file = tmp_path / "config.toml"
    file.write_text(KEPT)
    update_settings(file, {("redis", "port"): 2, ("redis", "database"): 3, ("gateway", "port"): 4})
    changed = file.read_text()
    assert changed == (
        KEPT.replace("port = 1", "port = 2").replace("timeout = 2.5\n", "timeout = 2.5\ndatabase = 3\n")
        + "\n[gateway]\nport = 4\n"
    )


def test_repeating_an_update_changes_nothing(tmp_path: Path) -> None:
    """The same values a second time give the same file to the byte."""
    file = tmp_path / "config.toml"
    values = {("redis", "port"): 2, ("gateway", "host"): "127.0.0.1"}
    update_settings(file, values)
    before = file.read_bytes()
    update_settings(file, values)
    assert file.read_bytes() == before
