"""Lua scripts: one file each, run atomically by Redis, their key names taken from `contracts`."""

import hashlib
from pathlib import Path
from typing import Any, Self, cast

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import NoScriptError

from msgctl.contracts import LUA_NAMES

PRELUDE = Path(__file__).with_name("prelude.lua").read_text("utf-8")
NAMES = "local K = {" + ", ".join(f"{name} = '{value}'" for name, value in LUA_NAMES.items()) + "}\n"


class Script:
    """One Lua script, known to Redis by its SHA-1 and sent whole only when Redis has forgotten it.

    No KEYS are declared, since a script finds most of its keys on its way; hence one Redis, not Redis Cluster.

    Args:
        body: Lua that may use the table `K` of names and the functions of `prelude.lua`.
    """

    def __init__(self, body: str) -> None:
        self.text = NAMES + PRELUDE + body
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    @classmethod
    def beside(cls, module_file: str, name: str) -> Self:
        """The script `name`.lua in the folder of a module, e.g. `Script.beside(__file__, "claim")`."""
        return cls(Path(module_file).with_name(f"{name}.lua").read_text("utf-8"))

    async def __call__(self, redis: Redis, *args: str | bytes | float) -> Any:
        """Run it with `args` as ARGV, by its hash; if Redis does not know it, by its text."""
        try:
            return await cast("Any", redis.evalsha(self.sha, 0, *args))
        except NoScriptError:
            return await cast("Any", redis.eval(self.text, 0, *args))

    def queue(self, pipeline: Pipeline, *args: str | bytes | float) -> None:
        """Add a run of it to a pipeline; `load` must have been awaited on this Redis before."""
        cast("Any", pipeline.evalsha(self.sha, 0, *args))

    async def load(self, redis: Redis) -> None:
        """Make it known to Redis, so that pipelines can name it by its hash."""
        await cast("Any", redis.script_load(self.text))
