"""Clients of the gateway that do not read, and such as the line to which is dead."""

import asyncio
import ctypes
import socket
import struct
from urllib.parse import urlsplit

import msgspec
from websockets.client import ClientProtocol
from websockets.frames import Frame
from websockets.uri import parse_uri

RECEIVE_BUFFER = 4096
"""Bytes the kernel takes in for a client that does not read."""
SO_ATTACH_FILTER = 26  # Linux; the socket module has no name for it
DROP_ALL = struct.pack("=HBBI", 0x06, 0, 0, 0)
"""A filter of the kernel's: `ret 0`, no packet reaches the socket."""


class Silent:
    """A WebSocket that follows a conversation and reads nothing after the handshake.

    Args:
        url: of a gateway, with a token.
    """

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url).hostname, urlsplit(url).port
        self._protocol = ClientProtocol(parse_uri(url))
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self._socket.setblocking(False)  # noqa: FBT003 - a signature of Python's own
        self.socket_id = ""

    async def follow(self, conversation: str) -> None:
        """Connect and resume a conversation; the last thing that is read says that it has been joined."""
        await asyncio.get_running_loop().sock_connect(self._socket, self._address)
        self._protocol.send_request(self._protocol.connect())
        await self._send()
        resume = {"type": "resume", "data": {"conversationId": conversation, "afterSeq": 0}}
        while "resumed" not in (heard := await self._hear()):
            if "connected" in heard:
                self.socket_id = heard["connected"]["socketId"]
                self._protocol.send_text(msgspec.json.encode(resume))
                await self._send()

    def go_dark(self) -> None:
        """Let nothing that the gateway sends arrive any more, not even at the kernel, which acknowledges nothing.

        Raises:
            OSError: the system has no such filter.
        """
        program = ctypes.create_string_buffer(DROP_ALL, len(DROP_ALL))
        packed = struct.pack("@HP", 1, ctypes.addressof(program))
        self._socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, packed)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    async def _send(self) -> None:
        for data in self._protocol.data_to_send():
            await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def _hear(self) -> dict[str, dict[str, str]]:
        """What comes next: the data of each text frame by its type."""
        data = await asyncio.get_running_loop().sock_recv(self._socket, 65_536)
        if not data:
            raise EOFError
        self._protocol.receive_data(data)
        texts = [bytes(event.data) for event in self._protocol.events_received() if isinstance(event, Frame)]
        frames = [msgspec.json.decode(text) for text in texts if text.startswith(b'{"type"')]
        return {frame["type"]: frame["data"] for frame in frames}
