"""Load, compose and run the Lua scripts: one file each, run atomically by Redis.

Scripts and libraries live in the `lua` folder of the package that owns them. A library is a file whose first line
begins with `-- LIBRARY`; it holds functions alone. A script calls a library function by its bare name: `compose`
puts the functions that a script needs in front of it, and writes out the key names of `keys`.
"""

import hashlib
import re
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Self

from redis.exceptions import NoScriptError

from msgctl.storage.redis.client import RedisClient, RedisPipeline
from msgctl.storage.redis.keys import LUA_NAMES

PACKAGE = Path(__file__).parents[2]
LIBRARY = "-- LIBRARY"
LUA_FUNCTION_PATTERN = re.compile(r"^local function (\w+)\(.*?^end$", re.MULTILINE | re.DOTALL)
KEY_NAME_PATTERN = re.compile(r"\bK\.(\w+)")
COMMENT_OR_STRING = re.compile(r"--[^\n]*|'[^'\n]*'")
WORD = re.compile(r"(?<![\w.])[A-Za-z_]\w*")


class Script:
    """One Lua script, known to Redis by its SHA-1 and sent whole only when Redis has forgotten it.

    No KEYS are declared, since a script finds most of its keys on its way; hence one Redis, not Redis Cluster.

    Args:
        body: Lua that may use `K.name` for the names of `keys` and the functions of all libraries.
    """

    def __init__(self, body: str) -> None:
        self._body = body

    @cached_property
    def text(self) -> str:
        """Return the text for Redis, composed on first use: a process imports many scripts and runs few."""
        return compose(self._body)

    @cached_property
    def sha(self) -> str:
        """Return its SHA-1, by which Redis knows it."""
        return hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    @classmethod
    def beside(cls, module_file: str, name: str) -> Self:
        """Load `lua/name.lua` from the folder of a module, e.g. `Script.beside(__file__, "claim")`."""
        return cls((Path(module_file).parent / "lua" / f"{name}.lua").read_text("utf-8"))

    async def __call__(self, redis: RedisClient, *args: str | bytes | float) -> Any:
        """Run the script with `args` as ARGV, by its hash, or by its text if Redis does not know it."""
        try:
            return await redis.execute_command(*self.evalsha_args(*args))
        except NoScriptError:
            return await redis.execute_command("EVAL", self.text, 0, *args)

    def evalsha_args(self, *args: str | bytes | float) -> tuple[str | bytes | float, ...]:
        """Return the command that runs the script by its hash."""
        return ("EVALSHA", self.sha, 0, *args)

    def add_to_pipeline(self, pipeline: RedisPipeline, *args: str | bytes | float) -> None:
        """Add a run by hash to a pipeline. If Redis does not know the script, the result is a `NoScriptError`."""
        pipeline.execute_command(*self.evalsha_args(*args))

    async def load(self, redis: RedisClient) -> None:
        """Load the script into Redis, so that pipelines can run it by its hash."""
        await redis.script_load(self.text)


def compose(body: str) -> str:
    """Return the script as Redis gets it: key names written out, preceded by the library functions that it uses.

    Redis runs all of the text at each call. A table of all names and closures of all functions would take longer
    than what many a script does.

    Raises:
        KeyError: the script uses a name that `keys` does not have.
    """
    available = library_functions()
    chosen: dict[str, str] = {}

    def add_functions_of(text: str) -> None:
        for name in words(text):
            if name in available and name not in chosen and available[name] != text:
                add_functions_of(available[name])  # Lua sees only the local functions above
                chosen[name] = available[name]

    add_functions_of(body)
    return KEY_NAME_PATTERN.sub(lambda found: f"'{LUA_NAMES[found[1]]}'", "\n".join([*chosen.values(), body]))


@cache
def library_functions() -> dict[str, str]:
    """Return the text of each library function of `msgctl` by its name; names are unique across the libraries."""
    texts = (path.read_text("utf-8") for path in sorted(PACKAGE.glob("**/lua/*.lua")))
    return {
        found[1]: found[0]
        for text in texts
        if text.startswith(LIBRARY)
        for found in LUA_FUNCTION_PATTERN.finditer(text)
    }


def words(lua: str) -> list[str]:
    """Return the identifiers of a Lua text in order, each once; field names, comments and strings are left out."""
    return list(dict.fromkeys(WORD.findall(COMMENT_OR_STRING.sub("", lua))))
