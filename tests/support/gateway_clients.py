"""Clients of a gateway under test, and a pipeline behind it that answers when told to."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import jwt
import msgspec
from websockets.asyncio.client import ClientConnection, connect

from daemons.gateway.app import serve
from daemons.runtime.lifecycle import Lifecycle
from daemons.subscriber.service import serve as serve_subscriber
from msgctl.auth import tokens
from msgctl.config.settings import Settings
from msgctl.domain.messages import Failure, Reply, Turn, UnnumberedResponse
from msgctl.domain.retry import GiveUp
from msgctl.queue.leases import LeaseClient, LeasedMessage
from msgctl.storage.redis.client import RedisClient
from tests.support.secret_scan import JWT_SECRET, SEARCH
from tools.support.daemons import PATIENCE


class ReportedLife(Lifecycle):
    """A daemon's life within a test: tells what the daemon said when it was ready."""

    def __init__(self) -> None:
        super().__init__()
        self.status: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def notify_ready(self, status: str) -> None:
        """Keep what would go to systemd."""
        self.status.set_result(status)


class Answer(msgspec.Struct):
    """What an HTTP request was answered with."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read."""
        return msgspec.json.decode(self.body)

    @property
    def code(self) -> str:
        """The code of a refusal, whose shape is checked on the way."""
        assert self.headers["content-type"] == "application/json; charset=utf-8", self
        assert self.json.keys() == {"success", "error"}, self
        assert self.json["success"] is False
        assert self.json["error"].keys() in ({"code", "message"}, {"code", "message", "details"})
        assert self.json["error"]["message"]
        return str(self.json["error"]["code"])


class Client:
    """A customer with a token.

    Args:
        url: the gateway.
        settings: its settings, to sign the token.
        user_id: the customer.
    """

    def __init__(self, url: str, settings: Settings, user_id: str, http: aiohttp.ClientSession) -> None:
        self.url = url
        self.user_id = user_id
        self.token = tokens.issue(settings, user_id, 3600)
        self._http = http

    async def request(
        self, method: str, path: str, *, data: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a request as it is, with the token unless `headers` say otherwise."""
        sent = {"Authorization": f"Bearer {self.token}", **(headers or {})}
        async with self._http.request(method, self.url + path, data=data, headers=sent) as response:
            answer = Answer(response.status, response.headers, await response.read())
        if answer.status >= 400:
            SEARCH.hear(f"the refusal of {method} {path.partition('?')[0]}", answer.body.decode(errors="replace"))
        return answer

    async def get(self, path: str) -> Answer:
        """GET a path."""
        return await self.request("GET", path)

    async def post(self, body: object, headers: Mapping[str, str] | None = None) -> Answer:
        """POST a message; anything but bytes is made JSON."""
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        return await self.request(
            "POST", "/api/messages", data=data, headers={"Content-Type": "application/json", **(headers or {})}
        )

    @asynccontextmanager
    async def socket(self, query: str | None = None, **options: Any) -> AsyncIterator["Chat"]:
        """An open WebSocket, by `?token=` unless `query` says otherwise."""
        query = f"token={self.token}" if query is None else query
        async with connect(f"{self.url.replace('http', 'ws', 1)}/ws/chat?{query}", **options) as socket:
            yield Chat(socket)


class Chat:
    """An open WebSocket that speaks frames."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def say(self, kind: str, **data: object) -> None:
        """Send a frame."""
        await self.socket.send(msgspec.json.encode({"type": kind, "data": data}).decode())

    async def hear(self, kind: str | None = None) -> Any:
        """The next frame; with `kind`, its data, after a check that it is of that kind."""
        text = await asyncio.wait_for(self.socket.recv(), PATIENCE)
        assert isinstance(text, str)
        frame = msgspec.json.decode(text)
        if frame.get("type") == "error":
            SEARCH.hear("an error's frame", text)
        assert frame.keys() == {"type", "data"}
        if kind is None:
            return frame
        assert frame["type"] == kind, frame
        return frame["data"]

    async def closed(self) -> tuple[int, str]:
        """Code and reason of the close, whatever comes before it."""
        await asyncio.wait_for(self.socket.wait_closed(), PATIENCE)
        return self.socket.close_code or 0, self.socket.close_reason or ""


class Pipeline:
    """A worker that answers when told to, and a subscriber that takes the answers on their way.

    Args:
        redis: the test's client.
        settings: the gateway's settings.
    """

    def __init__(self, redis: RedisClient, settings: Settings) -> None:
        self.redis = redis
        self._settings = settings
        self._claims = LeaseClient(redis, settings, "worker-of-the-test")

    async def claim(self) -> LeasedMessage:
        """Take the next message."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while asyncio.get_running_loop().time() < deadline:
            if claimed := await self._claims.claim(1):
                return claimed[0]
            await asyncio.sleep(0.01)
        raise AssertionError("no message came")

    async def answer(self, text: str = "an answer", claimed: LeasedMessage | None = None) -> LeasedMessage:
        """Answer the next message, or one that was claimed."""
        claimed = claimed or await self.claim()
        message = claimed.message
        draft = UnnumberedResponse(
            message_id=message.message_id,
            conversation_id=message.conversation_id,
            agent_id=message.agent_id,
            response=Reply(message=text, tokens_used=120, model="gpt-4o-mini", finish_reason="stop"),
            channel=message.channel,
            channel_metadata=message.channel_metadata,
            timestamp="2026-02-02T10:00:05.000Z",
            processing_time=2500,
            user_id=message.user_id,
        )
        turns = (
            Turn(role="user", content=message.message, timestamp=message.timestamp),
            Turn(role="assistant", content=text, timestamp=draft.timestamp),
        )
        assert await self._claims.commit(claimed, draft, turns)
        return claimed

    async def fail(self) -> LeasedMessage:
        """Let the next message end in the dead letters."""
        claimed = await self.claim()
        failure = Failure.for_message(claimed.message, "n8n_rejected", timestamp="2026-02-02T10:00:05.000Z")
        error = b'{"class":"final","code":"n8n_rejected","text":"n8n answered 400."}'
        assert await self._claims.fail(claimed, GiveUp(), error=error, record=b"{}", failure=failure)
        return claimed

    @asynccontextmanager
    async def delivering(self) -> AsyncIterator[None]:
        """Run a subscriber."""
        async with running(serve_subscriber, self._settings):
            yield


@asynccontextmanager
async def running(serve: Any, settings: Settings, **arguments: Any) -> AsyncIterator[ReportedLife]:
    """A daemon in this process, ready once entered, stopped at the end."""
    life = ReportedLife()
    task = asyncio.ensure_future(serve(settings, life, **arguments))
    await asyncio.wait([task, life.status], timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        await task
    try:
        yield life
    finally:
        life.stopping.set()
        await asyncio.wait_for(task, PATIENCE)


@asynccontextmanager
async def gateways(
    settings: Settings, number: int = 1, **limits: Any
) -> AsyncIterator[list[Callable[..., Client]]]:
    """Gateways with these limits; for each what makes a client of a user, with claims in the token if need be."""
    settings = settings.model_copy(update={"limits": settings.limits.model_copy(update=limits)})
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        makers = []
        for _ in range(number):
            life = await stack.enter_async_context(running(serve, settings))
            url = life.status.result().removeprefix("listening at ")
            makers.append(_maker(url, settings, http))
        yield makers


def _maker(url: str, settings: Settings, http: aiohttp.ClientSession) -> Callable[..., Client]:
    def make(user_id: str = "ana", **claims: Any) -> Client:
        client = Client(url, settings, user_id, http)
        known = jwt.decode(client.token, options={"verify_signature": False})
        client.token = jwt.encode({**known, **claims}, JWT_SECRET, algorithm="HS256")
        return client

    return make
