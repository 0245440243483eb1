"""redis-py's asyncio connection with its two dear parts replaced; everything else is its own.

A command is packed by hiredis in C, where redis-py packs each word in Python. And what the socket takes at once is
written at once, where redis-py makes a task of each write in order to bound it in time.
"""

from collections.abc import Iterable
from typing import Any, cast

import hiredis
from redis.asyncio import Connection, SSLConnection
from redis.asyncio.connection import AbstractConnection


class FastConnection(AbstractConnection):
    """What both kinds of connection have in common."""

    def pack_command(self, *args: Any) -> list[bytes]:
        """Pack one command."""
        name = args[0]
        if isinstance(name, str) and " " in name:  # two words in one, as in CLIENT SETINFO
            args = (*name.split(), *args[1:])
        try:
            return [hiredis.pack_command(args)]
        except (TypeError, ValueError):  # of a type that redis-py either knows, or refuses by name
            return super().pack_command(*args)

    def pack_commands(self, commands: Iterable[Iterable[Any]]) -> list[bytes]:
        """Pack several to be sent together."""
        return [b"".join(part for command in commands for part in self.pack_command(*command))]

    async def send_packed_command(
        self,
        command: bytes | str | Iterable[bytes],
        check_health: bool = True,  # noqa: FBT001, FBT002 - redis-py's own
    ) -> None:
        """Send; what does not fit into the socket is waited for, within redis-py's bound."""
        if isinstance(command, list) and self._can_write_now():
            if check_health:
                await cast("Any", self).check_health()
            if self._writer and self._can_write_now():  # still, after a ping
                self._writer.writelines(command)
                return
        await super().send_packed_command(command, check_health)

    def _can_write_now(self) -> bool:
        """Whether the connection is up and nothing written before still waits."""
        transport = self._writer.transport if self._writer else None
        return transport is not None and not transport.is_closing() and not transport.get_write_buffer_size()


class FastTcpConnection(FastConnection, Connection):
    """Over TCP."""


class FastTlsConnection(FastConnection, SSLConnection):
    """Over TLS."""
