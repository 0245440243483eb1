"""A smoke test from outside: messages through the API and the socket, judged as a customer would judge them."""

import asyncio
import json
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import requests
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, WebSocketException

from msgctl.errors import Unavailable
from msgctl.stack.refusals import refusal

REQUEST_PATIENCE = 15.0
"""Seconds one request may take."""
UNAUTHORIZED = 4401
"""The code a socket is closed with whose token is not taken."""
ELSEWHERE = "Is it elsewhere? Say --url, or set [gateway] host and port."


@dataclass(frozen=True)
class Assignment:
    """What to send, where to and how long it may take."""

    url: str
    """Of the gateway, http or https."""
    token: str
    agent: str
    channel: str
    count: int
    timeout: float
    """Seconds for everything."""
    budget: float
    """Seconds one answer may take."""


@dataclass
class Case:
    """One thing that was tested."""

    name: str
    problem: str = ""
    """Empty: it passed."""
    seconds: float = 0.0


@dataclass
class Sent:
    """One message and what came of it."""

    message_id: str
    at: float
    state: str = "unknown"
    seconds: float | None = None
    """From sending to the answer; None: it has not come."""
    frames: int = 0
    """How often its reply came over the socket."""
    seq: int | None = None


@dataclass
class Smoke:
    """A run of it; `run` returns the cases."""

    assignment: Assignment
    sent: dict[str, Sent] = field(default_factory=dict)
    heard: list[str] = field(default_factory=list)
    """Ids of replies heard at the socket, in their order."""

    async def run(self) -> list[Case]:
        """Send, wait and judge.

        Raises:
            Unavailable: the gateway does not answer at all, or refuses.
        """
        begun = time.monotonic()
        conversation = str(uuid.uuid4())
        if self.assignment.channel == "web":
            try:
                async with connect(self._socket_url(), proxy=None, open_timeout=REQUEST_PATIENCE) as socket:
                    await self._talk(socket, conversation)
            except (OSError, WebSocketException, TimeoutError) as error:
                raise Unavailable(self._explain(error)) from None
        else:
            await self._send_by_api(self.assignment.count, conversation, {})
        await self._await_states(begun)
        return self._judge(time.monotonic() - begun)

    def _explain(self, error: Exception) -> str:
        """What is the matter with the socket, and what to do."""
        url = self.assignment.url
        closed = error.rcvd if isinstance(error, ConnectionClosed) else None
        if closed is not None:
            reason = f"{closed.code} {closed.reason}".rstrip()
            hint = " Make a token: msgctl token issue --user USER" if closed.code == UNAUTHORIZED else ""
            return f"The gateway at {url} closed the socket: {reason}.{hint}"
        if isinstance(error, InvalidHandshake):
            return f"There is no gateway at {url}: its socket was refused ({type(error).__name__}). {ELSEWHERE}"
        return f"The gateway at {url} does not answer ({type(error).__name__}). {ELSEWHERE}"

    async def _talk(self, socket: ClientConnection, conversation: str) -> None:
        hello = json.loads(await asyncio.wait_for(socket.recv(), REQUEST_PATIENCE))
        half = self.assignment.count // 2
        listening = asyncio.create_task(self._listen(socket))
        try:
            await self._send_by_api(
                self.assignment.count - half, conversation, {"websocketId": hello["data"]["socketId"]}
            )
            for number in range(half):
                message_id = self._note()
                data = {
                    "agentId": self.assignment.agent,
                    "content": f"smoke {number}",
                    "conversationId": conversation,
                    "messageId": message_id,
                }
                await socket.send(json.dumps({"type": "message", "data": data}))
            deadline = time.monotonic() + self.assignment.timeout
            while len(set(self.heard)) < len(self.sent) and time.monotonic() < deadline and not listening.done():
                await asyncio.wait([listening], timeout=0.05)
            await asyncio.sleep(0.5)  # a second copy of a reply would come now
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _listen(self, socket: ClientConnection) -> None:
        async for raw in socket:
            frame = json.loads(raw)
            found = self.sent.get(frame.get("data", {}).get("messageId", ""))
            if frame["type"] == "message" and found:
                found.frames += 1
                found.seq = frame["data"].get("seq")
                found.seconds = found.seconds or time.monotonic() - found.at
                self.heard.append(found.message_id)

    async def _send_by_api(self, count: int, conversation: str, metadata: dict[str, Any]) -> None:
        for number in range(count):
            body = {
                "agentId": self.assignment.agent,
                "message": f"smoke {number}",
                "conversationId": conversation,
                "channel": self.assignment.channel,
                "channelMetadata": metadata,
                "messageId": self._note(),
            }
            answer = await asyncio.to_thread(self._request, "POST", "/api/messages", body)
            if answer.status_code != 202:
                raise refusal(answer.status_code, _document(answer))

    async def _await_states(self, begun: float) -> None:
        """By the API, for what no socket told of, and as a second witness for the rest."""
        waiting = list(self.sent.values())
        while waiting:
            for one in waiting:
                path = f"/api/messages/{one.message_id}/status"
                answer = await asyncio.to_thread(self._request, "GET", path, None)
                one.state = answer.json().get("data", answer.json()).get("state", "unknown")
                if one.state == "completed" and one.seconds is None:
                    one.seconds = time.monotonic() - one.at
            waiting = [one for one in waiting if one.state not in {"completed", "failed"}]
            if time.monotonic() - begun > self.assignment.timeout:
                return
            await asyncio.sleep(0.1 if waiting else 0)

    def _judge(self, seconds: float) -> list[Case]:
        states = Counter(one.state for one in self.sent.values())
        told = ", ".join(f"{count} {state}" for state, count in states.items())
        unanswered = len(self.sent) - states["completed"]
        times = sorted(one.seconds for one in self.sent.values() if one.seconds is not None)
        slow = [one for one in times if one > self.assignment.budget]
        cases = [
            Case(
                "answered",
                f"{unanswered} of {len(self.sent)} were not answered: {told}" * bool(unanswered),
                seconds,
            ),
            Case(
                "within budget",
                f"{len(slow)} took longer than {self.assignment.budget:g} s" * bool(slow),
                times[-1] if times else 0.0,
            ),
        ]
        if self.assignment.channel == "web":
            silent = [one for one in self.sent.values() if not one.frames]
            twice = [one for one in self.sent.values() if one.frames > 1]
            sequence = [self.sent[message_id].seq or 0 for message_id in self.heard]
            disorder = sequence != sorted(sequence)
            cases.append(Case("heard at the socket", f"{len(silent)} replies were not heard" * bool(silent)))
            cases.append(Case("in order", "the numbers of the replies do not grow" * disorder))
            cases.append(Case("once", f"{len(twice)} replies came twice" * bool(twice)))
        return cases

    def _note(self) -> str:
        message_id = str(uuid.uuid4())
        self.sent[message_id] = Sent(message_id, time.monotonic())
        return message_id

    def _request(self, method: str, path: str, body: dict[str, Any] | None) -> requests.Response:
        try:
            return requests.request(
                method,
                self.assignment.url.rstrip("/") + path,
                json=body,
                headers={"Authorization": f"Bearer {self.assignment.token}"},
                timeout=REQUEST_PATIENCE,
            )
        except requests.RequestException as error:
            raise Unavailable(
                f"The gateway at {self.assignment.url} does not answer ({type(error).__name__}). {ELSEWHERE}"
            ) from None

    def _socket_url(self) -> str:
        return f"{self.assignment.url.rstrip('/').replace('http', 'ws', 1)}/ws/chat?token={self.assignment.token}"


def _document(answer: requests.Response) -> Any:
    try:
        return answer.json()
    except requests.RequestException:  # something else than a gateway answered
        return None
