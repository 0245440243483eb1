"""The servers of a bench: the embedded Valkey and PostgreSQL in a folder of their own, and a configuration."""

import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from msgctl.config.settings import Settings
from msgctl.config.sources import load
from msgctl.local.servers.valkey import ValkeyServer
from msgctl.local.supervisor import config_file

SECRET = "a secret of the benches, 32 bytes or more"  # noqa: S105 - it guards nothing


class Place:
    """Where a bench runs.

    Args:
        folder: the servers' data and the configuration; gone at the end.
        valkey: the one Redis all contenders use.
    """

    def __init__(self, folder: Path, valkey: ValkeyServer) -> None:
        self.folder = folder
        self.valkey = valkey
        self.config = folder / "config.toml"
        self.configure({("redis", "host"): "127.0.0.1", ("redis", "port"): valkey.port})

    def configure(self, values: dict[tuple[str, str], Any]) -> None:
        """Set settings in the configuration that the processes under test read."""
        config_file.update_settings(self.config, values)

    @property
    def settings(self) -> Settings:
        """The configuration as those processes see it; this shell's environment has no say."""
        return load(self.config, environ={}).settings

    @property
    def environment(self) -> dict[str, str]:
        """The environment of those processes."""
        own = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "VIRTUAL_ENV") if name in os.environ}
        return {**own, "MSGCTL_CONFIG": str(self.config), "PYTHONHASHSEED": "0"}


@asynccontextmanager
async def place() -> AsyncIterator[Place]:
    """Start a Valkey as the embedded stack runs it: append-only file, fsync each second."""
    with tempfile.TemporaryDirectory(prefix="msgctl-bench-") as folder:
        async with ValkeyServer(Path(folder, "valkey")) as valkey:
            yield Place(Path(folder), valkey)
