"""Replies to browsers while gateways and subscribers are killed: whoever comes back misses and doubles nothing."""

import asyncio
import random
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field

import msgspec
from pydantic import SecretStr
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from msgctl.auth import tokens
from msgctl.config.settings import Settings
from msgctl.domain.messages import Channel
from msgctl.local.supervisor import ports
from msgctl.operations.checks.invariants.verify import InvariantVerification, VerificationReport
from msgctl.operations.context import Context
from tools.chaos.environment import Place
from tools.chaos.replies import USER, Replies, name_of
from tools.chaos.subscriber_kills import SUBSCRIBER
from tools.chaos.worker_pool import Crew

GATEWAY = ("-m", "daemons.gateway")
PAUSE = 0.1
"""Seconds a client waits before it comes back."""


@dataclass(frozen=True)
class Plan:
    """How bad it gets. Times are in seconds."""

    replies: int
    clients: int
    gateways: int
    subscribers: int
    kills: int
    between: float


FULL = Plan(10_000, 200, 2, 2, kills=20, between=2.5)
SHORT = Plan(600, 20, 2, 1, kills=4, between=1.5)


@dataclass(frozen=True)
class Report:
    """What came of it."""

    replies: int
    kills: int
    reconnects: int
    missed: int
    """Replies that a client does not have at the end, although it resumed from the last one that it had."""
    doubled: int
    """Frames that brought a client a reply which it had."""
    gaps: int
    """Frames whose number told a client that it lacks one, and to resume: that one named a socket just killed."""
    not_recovered: int
    """Resumptions that were told `recovered: false`."""
    seconds: float
    verdict: VerificationReport

    @property
    def holds(self) -> bool:
        """Whether every promise was kept."""
        return not (self.missed or self.doubled or self.not_recovered) and self.verdict.holds


@dataclass
class Follower:
    """A client of one conversation, which comes back whenever it is cut off, and asks for what it missed.

    Args:
        conversation: the number of its conversation.
        urls: of all gateways, with a token.
    """

    conversation: int
    urls: list[str]
    last: int = 0
    """It has every reply up to this one …"""
    ahead: set[int] = field(default_factory=set)
    """… and these."""
    socket_id: str = ""
    connections: int = 0
    doubled: int = 0
    gaps: int = 0
    not_recovered: int = 0
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    async def follow(self) -> None:
        """Be connected, for ever."""
        while True:
            with suppress(WebSocketException, OSError, TimeoutError):
                async with connect(random.choice(self.urls), open_timeout=5) as socket:
                    self.connections += 1
                    self.ahead.clear()  # it resumes from before them, and so asks for them again
                    await self._resume(socket)
                    async for text in socket:
                        if self._hear(text):
                            await self._resume(socket)
            await asyncio.sleep(PAUSE)

    async def _resume(self, socket: ClientConnection) -> None:
        resume = {"conversationId": name_of(self.conversation), "afterSeq": self.last}
        await socket.send(msgspec.json.encode({"type": "resume", "data": resume}).decode())

    def _hear(self, text: str | bytes) -> bool:
        """Take a frame in; whether it shows that another one is missing."""
        frame = msgspec.json.decode(text)
        data = frame["data"]
        if frame["type"] == "connected":
            self.socket_id = data["socketId"]
        elif frame["type"] == "resumed":
            self.not_recovered += not data["recovered"]
            self.ready.set()
        elif frame["type"] == "message":
            self.doubled += data["seq"] <= self.last or data["seq"] in self.ahead
            self.ahead.add(data["seq"])
            while self.last + 1 in self.ahead:
                self.last += 1
                self.ahead.discard(self.last)
            self.gaps += bool(self.ahead)
            return bool(self.ahead)
        return False


class GatewayStorm:
    """One run.

    Args:
        place: servers of its own.
        plan: how bad.
    """

    def __init__(self, place: Place, plan: Plan) -> None:
        self._redis = place.redis
        delivery = place.settings.delivery.model_copy(update={"takeover": 2.0})
        self._settings = with_secret(place.settings.model_copy(update={"delivery": delivery}))
        self._plan = plan

    async def rage(self) -> Report:
        """Commit replies to clients that are connected, kill what stands between, and look at what they have."""
        begun = time.monotonic()
        plan = self._plan
        doors = [ports.free_port() for _ in range(plan.gateways)]
        token = tokens.issue(self._settings, USER, 3600)
        urls = [f"ws://127.0.0.1:{port}/ws/chat?token={token}" for port in doors]
        followers = [Follower(number, urls) for number in range(plan.clients)]
        async with AsyncExitStack() as stack:
            crews = [Crew(at(self._settings, port), 1, program=GATEWAY) for port in doors]
            crews.append(Crew(self._settings, plan.subscribers, program=SUBSCRIBER))
            for crew in crews:
                await stack.enter_async_context(crew)
            following = [asyncio.create_task(follower.follow()) for follower in followers]
            stack.callback(lambda: [task.cancel() for task in following])
            await asyncio.gather(*(follower.ready.wait() for follower in followers))
            killing = asyncio.create_task(self._kill(crews))
            await self._commit(followers)
            await killing
            await self._settled(followers)
        return await self._report(followers, time.monotonic() - begun)

    async def _kill(self, crews: list[Crew]) -> None:
        for _ in range(self._plan.kills):
            await asyncio.sleep(random.uniform(0.5, 1.5) * self._plan.between)
            while not random.choice(crews).kill_one():  # noqa: ASYNC110 - one that is being started tells nobody
                await asyncio.sleep(PAUSE)

    async def _commit(self, followers: list[Follower]) -> None:
        """A reply to each client in turn, naming the socket it had a moment ago, over the time of the kills."""
        plan = self._plan
        rounds = plan.replies // plan.clients
        replies = Replies(self._redis, plan.clients, Channel.WEB)
        for turn in range(rounds):
            sockets = [follower.socket_id for follower in followers]
            await asyncio.sleep(plan.kills * plan.between / rounds)
            await replies.commit(range(turn * plan.clients, (turn + 1) * plan.clients), sockets=sockets)

    async def _settled(self, followers: list[Follower]) -> None:
        """Until every client has its last reply, or nothing has come for so long that nothing will."""
        goal, quiet, before = self._plan.replies // self._plan.clients, 0, -1
        while quiet < 600 and any(follower.last < goal for follower in followers):
            await asyncio.sleep(0.1)
            have = sum(follower.last for follower in followers)
            quiet, before = (quiet + 1, before) if have == before else (0, have)

    async def _report(self, followers: list[Follower], seconds: float) -> Report:
        goal = self._plan.replies // self._plan.clients
        return Report(
            replies=goal * self._plan.clients,
            kills=self._plan.kills,
            reconnects=sum(follower.connections - 1 for follower in followers),
            missed=sum(goal - follower.last for follower in followers),
            doubled=sum(follower.doubled for follower in followers),
            gaps=sum(follower.gaps for follower in followers),
            not_recovered=sum(follower.not_recovered for follower in followers),
            seconds=seconds,
            verdict=await InvariantVerification(Context(self._settings, self._redis)).run(),
        )


def with_secret(settings: Settings) -> Settings:
    """The settings with a key for tokens."""
    auth = settings.auth.model_copy(update={"jwt_secret": SecretStr("chaos" * 10)})
    return settings.model_copy(update={"auth": auth})


def at(settings: Settings, port: int) -> Settings:
    """The settings of a gateway at a port."""
    gateway = settings.gateway.model_copy(update={"host": "127.0.0.1", "port": port})
    return settings.model_copy(update={"gateway": gateway})
