"""Conventions that a linter does not know: names, sizes, keys, imports, and documents that are true."""

import ast
import importlib
import re
from pathlib import Path

import pytest

from msgctl.config.sources import iter_settings
from msgctl.storage.redis import keys

ROOT = Path(__file__).parent.parent
SOURCES = sorted([*ROOT.glob("msgctl/**/*.py"), *ROOT.glob("daemons/**/*.py")])
SCRIPTS = sorted([*ROOT.glob("msgctl/**/*.lua"), *ROOT.glob("daemons/**/*.lua")])
REDIS_PY = {
    "daemons/runtime/watchdog.py": {"RedisError"},  # an error reply is no sign of life either
    "msgctl/delivery/web/gateway_sockets.py": {"ResponseError"},  # no such key
    "msgctl/delivery/response_stream.py": {"ResponseError"},  # NOGROUP, BUSYGROUP
    "msgctl/delivery/web/routing.py": {"NoScriptError"},  # loads the script and repeats its pipeline
    "msgctl/canary/location.py": {"ResponseError"},  # NOGROUP, no such key
    "msgctl/local/servers/valkey.py": {"NoBackoff", "Redis", "Retry", "exceptions"},  # asks the server it started
}
"""What modules outside `msgctl.storage.redis` import of redis-py, and why; outage errors are never among it."""
README = (ROOT / "README.md").read_text("utf-8")
SHAPELESS = {"utils", "util", "common", "helpers", "helper", "manager", "misc", "core"}


def test_daemons_is_our_own_package() -> None:
    """Another distribution has this import name too; what is imported here must be ours."""
    daemons = importlib.import_module("daemons")
    assert Path(str(daemons.__file__)) == ROOT / "daemons" / "__init__.py"


@pytest.mark.parametrize("path", [*SOURCES, *SCRIPTS], ids=lambda path: str(path.relative_to(ROOT)))
def test_literal_keys_stand_in_keys_py_only(path: Path) -> None:
    """Names that other processes see are written down once."""
    if path == ROOT / "msgctl" / "storage" / "redis" / "keys.py":
        return
    text = path.read_text("utf-8")
    found = _string_literals(text) if path.suffix == ".py" else re.findall(r"'([^'\n]*)'", _uncommented(text))
    literal = [one for one in found if re.match(r"(rq|msgctl|pubsub):\S", one)]
    assert not literal, f"{path.name} spells out {literal}; use msgctl.storage.redis.keys"


def test_redis_outages_are_translated_in_one_place() -> None:
    """`RedisClient` raises `RedisUnavailable`, so nobody else opens a client, or catches redis-py's own errors."""
    used: dict[str, set[str]] = {}
    for path in SOURCES:
        name = str(path.relative_to(ROOT))
        if name.startswith("msgctl/storage/redis/"):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "redis":
                used.setdefault(name, set()).update(alias.name for alias in node.names)
            elif isinstance(node, ast.Import) and any(one.name.split(".")[0] == "redis" for one in node.names):
                used.setdefault(name, set()).add("the whole package")
    assert used == REDIS_PY


def test_helpers_live_in_support_modules() -> None:
    """No test file imports from a test module or a conftest: what several of them need is in `tests/support/`."""
    foreign = re.compile(r"tests\.(\w+\.)*(test_\w+|conftest)$")
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in ROOT.glob("tests/**/*.py")
        for module in _imports(path)
        if foreign.match(module)
    ]
    assert not wrong


def test_tools_import_no_test_module() -> None:
    """Benchmarks and fault injection run without the tests."""
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in ROOT.glob("tools/**/*.py")
        for module in _imports(path)
        if module.split(".")[0] == "tests"
    ]
    assert not wrong


def test_the_makefile_fits_a_terminal() -> None:
    """What `make help` prints of each target: two cells, `make`, 15 for the name, and its sentence."""
    listed = re.findall(r"^[a-z-]+:.*?## (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert max(len("  make  ") + 15 + len(sentence) for sentence in listed) <= 92


def _imports(path: Path) -> list[str]:
    """Every module that a file imports, and every name it imports from one, as a dotted name."""
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found += [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{name.name}" for name in node.names)]
    return found


def _string_literals(text: str) -> list[str]:
    tree = ast.parse(text)
    documents = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documents
    ]


def _uncommented(lua: str) -> str:
    return re.sub(r"--.*", "", lua)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_stay_small_and_well_named(path: Path) -> None:
    """A file has fewer than 400 lines and a name that tells its subject."""
    assert len(path.read_text("utf-8").splitlines()) < 400
    assert path.stem.strip("_") not in SHAPELESS


def test_nine_functions_in_ten_are_under_30_lines() -> None:
    """Long functions stay the exception."""
    functions = sorted(
        (node.end_lineno or 0) - node.lineno + 1
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    assert functions[len(functions) * 9 // 10] < 30


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_every_script_uses_names_that_exist(path: Path) -> None:
    """A misspelt name in the table K would be nil, and the key wrong."""
    used = set(re.findall(r"\bK\.(\w+)", path.read_text("utf-8")))
    assert used <= set(keys.LUA_NAMES), used - set(keys.LUA_NAMES)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_every_script_begins_by_saying_what_it_does(path: Path) -> None:
    """A glossary of its keys stands on top of each script."""
    assert path.read_text("utf-8").startswith("-- ")


def test_the_readme_begins_with_the_two_commands() -> None:
    """A newcomer sees what it is and the two commands on the first screen."""
    first_screen = README.splitlines()[:24]
    assert any(line.startswith("make demo") for line in first_screen)
    assert any(line.startswith("make test") for line in first_screen)


def test_every_make_target_in_the_readme_exists() -> None:
    """No command in the README leads nowhere."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in re.findall(r"^make ([a-z-]+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_every_setting_in_the_readme_exists() -> None:
    """`section.name` and MSGCTL_SECTION_NAME in the README are settings."""
    known = {f"MSGCTL_{section}_{name}".upper() for section, name, _ in iter_settings()}
    for variable in re.findall(r"\bMSGCTL_[A-Z0-9]+_[A-Z0-9_]+\b", README):
        assert variable in known, variable


def test_class_names_are_unique_in_the_product() -> None:
    """A name in a stack trace or a search leads to one class."""
    homes: dict[str, list[str]] = {}
    for path in SOURCES:
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef):
                homes.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert {name: paths for name, paths in homes.items() if len(paths) > 1} == {}


def test_a_numeric_constant_has_one_value_under_its_name() -> None:
    """No constant name stands for two quantities or two units."""
    values: dict[str, set[float]] = {}
    for path in SOURCES:
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
                value, target = node.value.value, node.targets[0]
                if isinstance(target, ast.Name) and isinstance(value, int | float) and not isinstance(value, bool):
                    values.setdefault(target.id, set()).add(value)
    assert {name: found for name, found in values.items() if len(found) > 1} == {}
