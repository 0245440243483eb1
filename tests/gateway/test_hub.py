"""The hub by itself: what a socket is told while it is being made known."""

from typing import Any, cast

from daemons.gateway.connection import Connection
from daemons.gateway.hub import Hub
from daemons.gateway.progress import ProgressFeed
from daemons.gateway.session import Session
from daemons.gateway.texts import choose
from msgctl.config.settings import Settings
from msgctl.delivery.sockets import Sockets
from msgctl.redisdb.client import RedisClient
from msgctl.tokens import Claims
from tools.support.daemons import until

NEWS = '{"messageId":"m","conversationId":"c","userId":"ana","progress":%d}'


async def test_connected_is_the_first_frame(settings: Settings, redis: RedisClient) -> None:
    """Progress that is published while Redis is told of a new socket does not come before its greeting."""
    feed = ProgressFeed(settings)

    class Register(Sockets):
        async def register(self, socket_id: str, user_id: str) -> None:
            feed._hand_on({"data": NEWS % 10})
            await super().register(socket_id, user_id)

    sent: list[str] = []

    async def send(message: Any) -> None:
        sent.append(message["text"])

    connection = Connection(
        Session("ws-1", choose(settings)),
        Claims(user_id="ana", expires_at=2**40),
        cast("Any", None),  # nothing is asked of the pipeline here
        send=send,
        cut=lambda _code, _reason: None,
        settings=settings,
        progress=True,
    )
    async with Hub(Register(redis, settings, "g"), feed, settings).holding(connection):
        connection.greet()
        feed._hand_on({"data": NEWS % 50})
        await until(lambda: len(sent) >= 2, "both frames to be written")
    assert '"connected"' in sent[0]
    assert '"progress":50' in sent[1]
    await connection._outbox.stop()
