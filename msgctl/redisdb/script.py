"""Lua scripts: one file each, run atomically by Redis, their key names taken from `contracts`."""

import hashlib
import re
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from redis.exceptions import NoScriptError

from msgctl.contracts import LUA_NAMES
from msgctl.redisdb.client import RedisClient, RedisPipeline

FUNCTION = re.compile(r"^local function (\w+)\(.*?^end$", re.MULTILINE | re.DOTALL)
PRELUDE = {
    found[1]: found[0] for found in FUNCTION.finditer(Path(__file__).with_name("prelude.lua").read_text("utf-8"))
}
NAME = re.compile(r"\bK\.(\w+)")


class Script:
    """One Lua script, known to Redis by its SHA-1 and sent whole only when Redis has forgotten it.

    No KEYS are declared, since a script finds most of its keys on its way; hence one Redis, not Redis Cluster.

    Args:
        body: Lua that may use `K.NAME` for the names of `contracts` and the functions of `prelude.lua`.
    """

    def __init__(self, body: str) -> None:
        self._body = body

    @cached_property
    def text(self) -> str:
        """What Redis gets, composed when it is first needed: a command imports many scripts and runs few."""
        return compose(self._body)

    @cached_property
    def sha(self) -> str:
        """Its name in Redis."""
        return hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    @classmethod
    def beside(cls, module_file: str, name: str) -> Self:
        """The script `name`.lua in the folder of a module, e.g. `Script.beside(__file__, "claim")`."""
        return cls(Path(module_file).with_name(f"{name}.lua").read_text("utf-8"))

    async def __call__(self, redis: RedisClient, *args: str | bytes | float) -> Any:
        """Run it with `args` as ARGV, by its hash; if Redis does not know it, by its text."""
        try:
            return await redis.execute_command(*self.call(*args))
        except NoScriptError:
            return await redis.execute_command("EVAL", self.text, 0, *args)

    def call(self, *args: str | bytes | float) -> tuple[str | bytes | float, ...]:
        """The words of the command that runs it, by its hash."""
        return ("EVALSHA", self.sha, 0, *args)

    def queue(self, pipeline: RedisPipeline, *args: str | bytes | float) -> None:
        """Add a run of it to a pipeline, by its hash; where Redis does not know it, that is a `NoScriptError`."""
        pipeline.execute_command(*self.call(*args))

    async def load(self, redis: RedisClient) -> None:
        """Make it known to Redis, so that pipelines can name it by its hash."""
        await redis.script_load(self.text)


def compose(body: str) -> str:
    """The script as Redis gets it: names written out, and only those functions of the prelude that it uses.

    Redis runs all of the text at each call: a table of all names and closures of all functions take longer
    than what many a script does.
    """
    needed: set[str] = set()
    texts = [body]
    while texts:
        used = {word for word in re.findall(r"\w+", texts.pop()) if word in PRELUDE} - needed
        needed |= used
        texts += [PRELUDE[name] for name in used]
    text = "\n".join([*(PRELUDE[name] for name in PRELUDE if name in needed), body])
    return NAME.sub(lambda found: f"'{LUA_NAMES[found[1]]}'", text)
