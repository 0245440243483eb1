"""The whole pipeline of this machine: servers, stand-in, database, daemons, started in that order."""

import asyncio
import os
import secrets
import socket
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlsplit

from msgctl.config.settings import Settings
from msgctl.config.sources import LoadedSettings
from msgctl.domain.errors import ConfigurationError
from msgctl.local.servers.base import folder_in_use_text, lock_folder
from msgctl.local.servers.postgres import PostgresServer
from msgctl.local.servers.valkey import ValkeyServer
from msgctl.local.supervisor import metrics_ports, ports
from msgctl.local.supervisor.child import Daemon, EmitLine
from msgctl.local.supervisor.options import UpOptions
from msgctl.local.supervisor.supervisor import Supervisor
from msgctl.observability import logs
from msgctl.storage.postgres.migrations import migrate
from msgctl.storage.redis.compatibility import check_server
from msgctl.storage.redis.connections import connect

if TYPE_CHECKING:
    from msgctl.config.sources import SettingKey

FAKE_N8N_GRACE_S = 5.0
SUPERVISOR_DRAIN_MARGIN_S = 20.0
"""Seconds a daemon may need beyond its own drain before it counts as hung."""


@dataclass(frozen=True)
class RunningPipeline:
    """What runs, and where."""

    settings: Settings
    gateway: str
    config: str
    redis: str
    postgres: str
    n8n: str
    metrics: dict[str, str] = field(default_factory=dict)
    """Where each daemon serves /metrics, `host:port` by its name."""


class LocalPipeline:
    """Everything `msgctl up` runs, as long as the context is open.

    Args:
        options: what was asked for.
        emit: told each line of each daemon.
    """

    def __init__(self, options: UpOptions, emit: EmitLine) -> None:
        self._options = replace(options, data_dir=options.data_dir.absolute())
        self._emit = emit
        self._stack = AsyncExitStack()
        self._addresses: dict[SettingKey, Any] = {}

    async def __aenter__(self) -> Self:
        """Start everything and wait until all of it is ready.

        Raises:
            ConfigurationError: it cannot run as it is configured; what was started is stopped again.
            Unavailable: a server does not answer, or does not start.
        """
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def watch(self) -> None:
        """Return or raise when a daemon has ended for good, which none should."""
        await self.supervisor.watch()

    async def _start(self, stack: AsyncExitStack) -> None:
        options = self._options
        if is_known := options.data_dir.exists():
            self._lock_folder(stack)
        before = options.read()
        gateway_socket = stack.enter_context(self._bind_gateway(before))
        if not is_known:  # a port that is taken leaves no folder behind
            self._lock_folder(stack)
        logs.configure(before.settings, daemon="up")
        if options.embedded:
            await self._start_servers(stack, before)
        n8n_socket = self._choose_n8n(stack, before)
        settings, environment = options.write(before, self._addresses)
        await _check_backends(settings)
        self.running = _describe_running(settings, options)
        if n8n_socket is not None:
            await stack.enter_async_context(self._make_fake_n8n(n8n_socket, environment))
        self.supervisor = self._make_supervisor(settings, environment, gateway_socket)
        await stack.enter_async_context(self.supervisor)

    def _lock_folder(self, stack: AsyncExitStack) -> None:
        """Make the folder, and hold it while we run, so that a second pipeline on its servers is refused at once.

        The servers hold folders of their own for as long as they live, which may be longer than we do.
        """
        folder = self._options.data_dir
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = lock_folder(folder) if self._options.embedded else None
        except OSError as error:
            raise ConfigurationError(f"Cannot use {folder}: {error.strerror}. Name another --data-dir.") from error
        if lock is not None:
            stack.callback(os.close, lock)
        elif self._options.embedded:
            raise ConfigurationError(folder_in_use_text(folder))

    async def _start_servers(self, stack: AsyncExitStack, before: LoadedSettings) -> None:
        folder, kept = self._options.data_dir, before.settings
        password = (
            kept.redis.password.get_secret_value() if _is_from_previous_run(before, "redis", "password") else ""
        )
        password = password or secrets.token_urlsafe(24)
        redis_port = _reusable_port(kept.redis.port, before, "redis", "port")
        postgres_port = _reusable_port(_port_of(kept.postgres.url.get_secret_value()), before, "postgres", "url")
        valkey = await stack.enter_async_context(ValkeyServer(folder / "valkey", redis_port, password=password))
        postgres = await stack.enter_async_context(PostgresServer(folder / "postgres", postgres_port))
        for server in (valkey, postgres):
            stack.callback(asyncio.create_task(server.restart_on_exit()).cancel)
        self._addresses |= {
            ("redis", "host"): ports.LOOPBACK,
            ("redis", "port"): valkey.port,
            ("redis", "password"): password,
            ("redis", "username"): "",
            ("redis", "database"): 0,
            ("redis", "tls"): False,
            ("postgres", "url"): postgres.url(),
        }

    def _choose_n8n(self, stack: AsyncExitStack, before: LoadedSettings) -> socket.socket | None:
        """Decide which n8n is used; for the stand-in, make its socket."""
        options, configured = self._options, before.settings.n8n.base_url
        if options.n8n_url is not None:
            self._addresses["n8n", "base_url"] = options.n8n_url
        elif options.embedded:
            port = _reusable_port(_port_of(configured), before, "n8n", "base_url")
            listener = stack.enter_context(ports.open_listener(ports.LOOPBACK, port or 0))
            self._addresses["n8n", "base_url"] = f"http://{ports.LOOPBACK}:{listener.getsockname()[1]}"
            return listener
        return None

    def _bind_gateway(self, before: LoadedSettings) -> socket.socket:
        """The gateways' socket, bound once and inherited by each: they share it, and a restart refuses nobody."""
        options, gateway = self._options, before.settings.gateway
        port, host = gateway.port, gateway.host
        if options.embedded:
            host = host if ("gateway", "host") in before.origins else ports.LOOPBACK
            port = port if ports.is_free(port, host) else 0
        if options.port is not None:
            port = options.port
        try:
            listener = ports.open_listener(host, port)
        except OSError as error:
            raise ConfigurationError(
                f"The gateway cannot listen on {host}:{port} ({error.strerror}). Choose another: --port"
            ) from error
        self._addresses |= {("gateway", "host"): host, ("gateway", "port"): listener.getsockname()[1]}
        return listener

    def _make_fake_n8n(self, listener: socket.socket, environment: dict[str, str]) -> Supervisor:
        number = listener.fileno()
        words = ["msgctl.local.fakes.n8n", "--fd", str(number), *self._options.stand_in]
        stand_in = Daemon("n8n", words, environment, self._emit, descriptors=[number])
        return Supervisor([stand_in], grace_s=FAKE_N8N_GRACE_S)

    def _make_supervisor(
        self, settings: Settings, environment: dict[str, str], gateway_socket: socket.socket
    ) -> Supervisor:
        options, number = self._options, gateway_socket.fileno()
        configuration = ["--config", str(options.file)]
        kinds = {"worker": options.workers, "subscriber": options.subscribers, "gateway": options.gateways}
        names = [f"{kind}-{index}" for kind, count in kinds.items() for index in range(1, count + 1)]
        self.running.metrics.update(metrics_ports.assign_addresses(settings, names))
        metrics_ports.write_targets(options.data_dir, self.running.metrics)
        daemons = [
            Daemon(
                f"{kind}-{index}",
                [f"daemons.{kind}", *configuration, *(["--fd", str(number)] if kind == "gateway" else [])],
                environment | {"MSGCTL_METRICS_PORT": self.running.metrics[f"{kind}-{index}"].rpartition(":")[2]},
                self._emit,
                descriptors=[number] if kind == "gateway" else [],
            )
            for kind, count in kinds.items()
            for index in range(1, count + 1)
        ]
        return Supervisor(daemons, grace_s=settings.worker.drain + SUPERVISOR_DRAIN_MARGIN_S)


async def _check_backends(settings: Settings) -> None:
    """Say now, in one line, what each daemon would otherwise say again and again."""
    async with connect(settings) as redis:
        await check_server(redis, settings)
    await migrate(settings)


def _is_from_previous_run(before: LoadedSettings, section: str, name: str) -> bool:
    """Whether the file of an earlier run says this, and not an environment that speaks of other servers."""
    return before.origins.get((section, name)) == str(before.path)


def _reusable_port(port: int | None, before: LoadedSettings, section: str, name: str) -> int | None:
    """The port of an earlier run, if there was one and nobody has it now."""
    return port if port and _is_from_previous_run(before, section, name) and ports.is_free(port) else None


def _port_of(url: str) -> int | None:
    try:
        return urlsplit(url).port
    except ValueError:
        return None


def _describe_running(settings: Settings, options: UpOptions) -> RunningPipeline:
    redis, host = settings.redis, settings.gateway.host
    login = ":".join(quote(part, safe="") for part in (redis.username, redis.password.get_secret_value()))
    return RunningPipeline(
        settings=settings,
        gateway=f"http://{_connectable_host(host)}:{settings.gateway.port}",
        config=str(options.file),
        redis=f"redis{'s' * redis.tls}://{login}@{redis.host}:{redis.port}/{redis.database}".replace("//:@", "//"),
        postgres=settings.postgres.url.get_secret_value(),
        n8n=settings.n8n.base_url,
    )


def _connectable_host(host: str) -> str:
    if host in {"0.0.0.0", "::", ""}:  # noqa: S104 - the address of a listener, not of a client
        return ports.LOOPBACK
    return f"[{host}]" if ":" in host else host
