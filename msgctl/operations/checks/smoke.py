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

from msgctl.domain.errors import Unavailable
from msgctl.http.gateway_errors import gateway_error

SMOKE_REQUEST_TIMEOUT_S = 15.0
"""Seconds one request may take."""
CLOSE_CODE_UNAUTHORIZED = 4401
"""The code a socket is closed with whose token is not taken."""
OTHER_URL_HINT = "Is it elsewhere? Say --url, or set [gateway] host and port."


@dataclass(frozen=True)
class SmokePlan:
    """What to send, where to and how long it may take."""

    url: str
    """Of the gateway, http or https."""
    token: str
    agent: str
    channel: str
    count: int
    timeout_s: float
    """Seconds for everything."""
    answer_budget_s: float
    """Seconds one answer may take."""


@dataclass
class SmokeCase:
    """One thing that was tested."""

    name: str
    problem: str = ""
    """Empty: it passed."""
    seconds: float = 0.0


@dataclass
class SmokeMessage:
    """One message and what came of it."""

    message_id: str
    sent_at: float
    state: str = "unknown"
    answer_seconds: float | None = None
    """From sending to the answer; None: it has not come."""
    frames: int = 0
    """How often its reply came over the socket."""
    seq: int | None = None


@dataclass
class SmokeTest:
    """A run of it; `run` returns the cases."""

    plan: SmokePlan
    sent: dict[str, SmokeMessage] = field(default_factory=dict)
    received_ids: list[str] = field(default_factory=list)
    """Ids of replies heard at the socket, in their order."""

    async def run(self) -> list[SmokeCase]:
        """Send, wait and judge.

        Raises:
            Unavailable: the gateway does not answer at all, or refuses.
        """
        begun = time.monotonic()
        conversation = str(uuid.uuid4())
        if self.plan.channel == "web":
            try:
                async with connect(self._socket_url(), proxy=None, open_timeout=SMOKE_REQUEST_TIMEOUT_S) as socket:
                    await self._exchange(socket, conversation)
            except (OSError, WebSocketException, TimeoutError) as error:
                raise Unavailable(self._explain_failure(error)) from None
        else:
            await self._send_by_api(self.plan.count, conversation, {})
        await self._await_states(begun)
        return self._evaluate(time.monotonic() - begun)

    def _explain_failure(self, error: Exception) -> str:
        """What is the matter with the socket, and what to do."""
        url = self.plan.url
        closed = error.rcvd if isinstance(error, ConnectionClosed) else None
        if closed is not None:
            reason = f"{closed.code} {closed.reason}".rstrip()
            hint = (
                " Make a token: msgctl token issue --user USER" if closed.code == CLOSE_CODE_UNAUTHORIZED else ""
            )
            return f"The gateway at {url} closed the socket: {reason}.{hint}"
        if isinstance(error, InvalidHandshake):
            return (
                f"There is no gateway at {url}: its socket was refused ({type(error).__name__}). {OTHER_URL_HINT}"
            )
        return f"The gateway at {url} does not answer ({type(error).__name__}). {OTHER_URL_HINT}"

    async def _exchange(self, socket: ClientConnection, conversation: str) -> None:
        hello = json.loads(await asyncio.wait_for(socket.recv(), SMOKE_REQUEST_TIMEOUT_S))
        half = self.plan.count // 2
        listening = asyncio.create_task(self._receive_replies(socket))
        try:
            await self._send_by_api(
                self.plan.count - half, conversation, {"websocketId": hello["data"]["socketId"]}
            )
            for number in range(half):
                message_id = self._new_message()
                data = {
                    "agentId": self.plan.agent,
                    "content": f"smoke {number}",
                    "conversationId": conversation,
                    "messageId": message_id,
                }
                await socket.send(json.dumps({"type": "message", "data": data}))
            deadline = time.monotonic() + self.plan.timeout_s
            while (
                len(set(self.received_ids)) < len(self.sent)
                and time.monotonic() < deadline
                and not listening.done()
            ):
                await asyncio.wait([listening], timeout=0.05)
            await asyncio.sleep(0.5)  # a second copy of a reply would come now
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _receive_replies(self, socket: ClientConnection) -> None:
        async for raw in socket:
            frame = json.loads(raw)
            found = self.sent.get(frame.get("data", {}).get("messageId", ""))
            if frame["type"] == "message" and found:
                found.frames += 1
                found.seq = frame["data"].get("seq")
                found.answer_seconds = found.answer_seconds or time.monotonic() - found.sent_at
                self.received_ids.append(found.message_id)

    async def _send_by_api(self, count: int, conversation: str, metadata: dict[str, Any]) -> None:
        for number in range(count):
            body = {
                "agentId": self.plan.agent,
                "message": f"smoke {number}",
                "conversationId": conversation,
                "channel": self.plan.channel,
                "channelMetadata": metadata,
                "messageId": self._new_message(),
            }
            answer = await asyncio.to_thread(self._request, "POST", "/api/messages", body)
            if answer.status_code != 202:
                raise gateway_error(answer.status_code, _decode_body(answer))

    async def _await_states(self, begun: float) -> None:
        """By the API, for what no socket told of, and as a second witness for the rest."""
        waiting = list(self.sent.values())
        while waiting:
            for one in waiting:
                path = f"/api/messages/{one.message_id}/status"
                answer = await asyncio.to_thread(self._request, "GET", path, None)
                one.state = answer.json().get("data", answer.json()).get("state", "unknown")
                if one.state == "completed" and one.answer_seconds is None:
                    one.answer_seconds = time.monotonic() - one.sent_at
            waiting = [one for one in waiting if one.state not in {"completed", "failed"}]
            if time.monotonic() - begun > self.plan.timeout_s:
                return
            await asyncio.sleep(0.1 if waiting else 0)

    def _evaluate(self, seconds: float) -> list[SmokeCase]:
        states = Counter(one.state for one in self.sent.values())
        told = ", ".join(f"{count} {state}" for state, count in states.items())
        unanswered = len(self.sent) - states["completed"]
        times = sorted(one.answer_seconds for one in self.sent.values() if one.answer_seconds is not None)
        slow = [one for one in times if one > self.plan.answer_budget_s]
        cases = [
            SmokeCase(
                "answered",
                f"{unanswered} of {len(self.sent)} were not answered: {told}" * bool(unanswered),
                seconds,
            ),
            SmokeCase(
                "within budget",
                f"{len(slow)} took longer than {self.plan.answer_budget_s:g} s" * bool(slow),
                times[-1] if times else 0.0,
            ),
        ]
        if self.plan.channel == "web":
            silent = [one for one in self.sent.values() if not one.frames]
            twice = [one for one in self.sent.values() if one.frames > 1]
            sequence = [self.sent[message_id].seq or 0 for message_id in self.received_ids]
            disorder = sequence != sorted(sequence)
            cases.append(SmokeCase("heard at the socket", f"{len(silent)} replies were not heard" * bool(silent)))
            cases.append(SmokeCase("in order", "the numbers of the replies do not grow" * disorder))
            cases.append(SmokeCase("once", f"{len(twice)} replies came twice" * bool(twice)))
        return cases

    def _new_message(self) -> str:
        message_id = str(uuid.uuid4())
        self.sent[message_id] = SmokeMessage(message_id, time.monotonic())
        return message_id

    def _request(self, method: str, path: str, body: dict[str, Any] | None) -> requests.Response:
        try:
            return requests.request(
                method,
                self.plan.url.rstrip("/") + path,
                json=body,
                headers={"Authorization": f"Bearer {self.plan.token}"},
                timeout=SMOKE_REQUEST_TIMEOUT_S,
            )
        except requests.RequestException as error:
            raise Unavailable(
                f"The gateway at {self.plan.url} does not answer ({type(error).__name__}). {OTHER_URL_HINT}"
            ) from None

    def _socket_url(self) -> str:
        return f"{self.plan.url.rstrip('/').replace('http', 'ws', 1)}/ws/chat?token={self.plan.token}"


def _decode_body(answer: requests.Response) -> Any:
    try:
        return answer.json()
    except requests.RequestException:  # something else than a gateway answered
        return None
