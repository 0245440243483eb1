"""redis-py's asyncio connection with faster versions of its two slow parts.

hiredis packs a command in C, while redis-py packs each word in Python. A write for which the socket has room
is done immediately, while redis-py creates a task for each write to limit its time.
"""

from collections.abc import Iterable
from typing import Any, cast

import hiredis
from redis.asyncio import Connection, SSLConnection
from redis.asyncio.connection import AbstractConnection


class FastConnection(AbstractConnection):
    """The common part of TCP and TLS connections."""

    def pack_command(self, *args: Any) -> list[bytes]:
        """Pack one command."""
        name = args[0]
        if isinstance(name, str) and " " in name:  # two words in one, as in CLIENT SETINFO
            args = (*name.split(), *args[1:])
        try:
            return [hiredis.pack_command(args)]
        except (TypeError, ValueError):  # redis-py packs other types, or refuses them by name
            return super().pack_command(*args)

    def pack_commands(self, commands: Iterable[Iterable[Any]]) -> list[bytes]:
        """Pack several commands that are sent together."""
        return [b"".join(part for command in commands for part in self.pack_command(*command))]

    async def send_packed_command(
        self,
        command: bytes | str | Iterable[bytes],
        check_health: bool = True,  # noqa: FBT001, FBT002 - redis-py's own
    ) -> None:
        """Send a command. If the socket has no room, wait within redis-py's time limit."""
        if isinstance(command, list) and self._can_write_now():
            if check_health:
                await cast("Any", self).check_health()
            if self._writer and self._can_write_now():  # still, after a ping
                self._writer.writelines(command)
                return
        await super().send_packed_command(command, check_health)

    def _can_write_now(self) -> bool:
        """Return whether the connection is open and has no earlier data left to write."""
        transport = self._writer.transport if self._writer else None
        return transport is not None and not transport.is_closing() and not transport.get_write_buffer_size()


class FastTcpConnection(FastConnection, Connection):
    """Over TCP."""


class FastTlsConnection(FastConnection, SSLConnection):
    """Over TLS."""
