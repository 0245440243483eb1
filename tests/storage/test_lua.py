"""Lua libraries: each function has an owner, is used, and is used only by its package or by one above it."""

import re
import tomllib
from pathlib import Path

import pytest

from msgctl.storage.redis import keys
from msgctl.storage.redis.lua import LIBRARY, LUA_FUNCTION_PATTERN, compose, words

ROOT = Path(keys.__file__).parents[3]
PATHS = sorted([*ROOT.glob("msgctl/**/*.lua"), *ROOT.glob("daemons/**/*.lua")])
TEXTS = {path: path.read_text("utf-8") for path in PATHS}
LIBRARIES = [path for path in PATHS if TEXTS[path].startswith(LIBRARY)]
ABOVE_ALL = -1
"""The height, counted from the top, of what stands above all layers: the daemons."""


def package(path: Path) -> str:
    """Return the package that owns a Lua file: the layer of `msgctl`, or `daemons`."""
    top, below, *_ = path.relative_to(ROOT).parts
    return below if top == "msgctl" else top


def layers() -> dict[str, int]:
    """Return the layer of each package of `msgctl`, 0 at the top, as import-linter has it."""
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    (rows,) = (one["layers"] for one in tool["contracts"] if one.get("containers") == ["msgctl"])
    found = {name.strip(): number for number, row in enumerate(rows) for name in re.split(r"[|:]", row)}
    return found | {"daemons": ABOVE_ALL}


def owners() -> dict[str, Path]:
    """Return the library that defines each function."""
    return {found[1]: path for path in LIBRARIES for found in LUA_FUNCTION_PATTERN.finditer(TEXTS[path])}


def uses() -> set[tuple[Path, str]]:
    """Return each file with each library function that it uses, its own included."""
    defined = owners()
    return {(path, name) for path in PATHS for name in words(_without_headers(TEXTS[path])) if name in defined}


def _without_headers(lua: str) -> str:
    return re.sub(r"^local function \w+", "", lua, flags=re.MULTILINE)


def test_every_lua_file_is_in_the_lua_folder_of_its_package() -> None:
    """`Script.beside` finds them there, and the libraries are found there too."""
    assert {path.parent.name for path in PATHS} == {"lua"}
    assert all("msgctl" in path.relative_to(ROOT).parts[:1] for path in LIBRARIES)


@pytest.mark.parametrize("path", LIBRARIES, ids=lambda path: f"{package(path)}/{path.stem}")
def test_a_library_holds_functions_alone(path: Path) -> None:
    """Anything else in it would never reach Redis."""
    rest = re.sub(r"--[^\n]*", "", LUA_FUNCTION_PATTERN.sub("", TEXTS[path]))
    assert not rest.strip()


def test_a_function_name_is_defined_once() -> None:
    """A library function has one home, and no script shadows it by a local of the same name."""
    names = [found[1] for path in LIBRARIES for found in LUA_FUNCTION_PATTERN.finditer(TEXTS[path])]
    assert len(names) == len(set(names))
    local = re.compile(r"\blocal (?:function )?(\w+)|\bfunction \w*\(([^)]*)\)")
    for path in PATHS:
        if path not in LIBRARIES:
            found = {
                name
                for match in local.finditer(TEXTS[path])
                for name in re.findall(r"\w+", match.expand(r"\1 \2"))
            }
            assert not found & set(names), path


def test_every_library_function_is_used() -> None:
    """What no script calls, directly or by way of another function, goes."""
    assert {name for _, name in uses()} == set(owners())


def test_a_library_function_is_used_by_its_package_or_one_above() -> None:
    """The layers of import-linter hold for Lua, which import-linter does not see."""
    height, home = layers(), owners()
    wrong = [
        f"{path.relative_to(ROOT)} uses {name} of {home[name].relative_to(ROOT)}"
        for path, name in sorted(uses())
        if package(path) != package(home[name]) and height[package(path)] >= height[package(home[name])]
    ]
    assert not wrong


def test_the_layers_would_show_a_use_from_below() -> None:
    """The order is read as it stands: the queue above delivery, delivery above the ledger, all above Redis."""
    height = layers()
    assert height["daemons"] < height["operations"] < height["queue"] < height["delivery"] < height["ledger"]
    assert height["ledger"] < height["storage"]


def test_names_are_written_out_and_functions_come_along_as_needed() -> None:
    """What a function uses comes too, what nobody uses does not, and no table of names is left."""
    text = compose("return {holds_lease(ARGV[1], 1), K.mailbox}")
    assert f"'{keys.LEASES}'" in text
    assert f"'{keys.MAILBOX}'" in text
    assert "function advance_conversation" not in text
    text = compose("make_ready(ARGV[1], now_ms(), false)")
    assert "function wake_idle_worker" in text
    assert "K." not in text


def test_a_name_that_is_none_is_found_at_once() -> None:
    """Not when the script runs, with a nil in the middle of a key."""
    with pytest.raises(KeyError):
        compose("return K.no_such_name")
