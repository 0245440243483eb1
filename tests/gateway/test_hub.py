"""The hub: the frames of a socket during its registration."""

from typing import Any, cast

from daemons.gateway.translations import select_texts
from daemons.gateway.ws.connection import WebSocketConnection
from daemons.gateway.ws.hub import Hub, ProgressFeed
from daemons.gateway.ws.session import ChatSession
from msgctl.auth.tokens import Claims
from msgctl.config.settings import Settings
from msgctl.delivery.web.gateway_sockets import SocketRegistry
from msgctl.storage.redis.client import RedisClient
from tools.support.daemons import until

NEWS = '{"messageId":"m","conversationId":"c","userId":"ana","progress":%d}'


async def test_connected_is_the_first_frame(settings: Settings, redis: RedisClient) -> None:
    """Progress that is published during the registration of a socket comes after `connected`."""
    feed = ProgressFeed(settings)

    class Register(SocketRegistry):
        async def register(self, socket_id: str, user_id: str) -> None:
            feed._dispatch({"data": NEWS % 10})
            await super().register(socket_id, user_id)

    sent: list[str] = []

    async def send(message: Any) -> None:
        sent.append(message["text"])

    connection = WebSocketConnection(
        ChatSession("ws-1", select_texts(settings)),
        Claims(user_id="ana", expires_at=2**40),
        cast("Any", None),  # nothing is asked of the pipeline here
        send=send,
        force_close=lambda _code, _reason: None,
        settings=settings,
        progress=True,
    )
    async with Hub(Register(redis, settings, "g"), feed, settings).hold(connection):
        connection.send_connected()
        feed._dispatch({"data": NEWS % 50})
        await until(lambda: len(sent) >= 2, "both frames to be written")
    assert '"connected"' in sent[0]
    assert '"progress":50' in sent[1]
    await connection._send_queue.stop()
