"""The smoke test: messages through the API and a WebSocket, checked from the view of a customer."""

import asyncio
import json
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import requests
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, WebSocketException

from msgctl.domain.errors import Unavailable
from msgctl.http.gateway_errors import gateway_error

SMOKE_REQUEST_TIMEOUT_S = 15.0
"""Seconds that one request may take."""
CLOSE_CODE_UNAUTHORIZED = 4401
"""The close code of a socket whose token is refused."""
OTHER_URL_HINT = "If it listens elsewhere: use --url, or set [gateway] host and port."


@dataclass(frozen=True)
class SmokePlan:
    """What to send, where to, and how long it may take."""

    url: str
    """The URL of the gateway, http or https."""
    token: str
    agent: str
    channel: str
    count: int
    timeout_s: float
    """Seconds for the whole test."""
    answer_budget_s: float
    """Seconds that one answer may take."""
    address: Mapping[str, Any] = field(default_factory=dict)
    """The `channelMetadata` with the address of the replies. Empty for `web`."""


@dataclass
class SmokeCase:
    """One result of the test."""

    name: str
    problem: str = ""
    """What is wrong. Empty: it passed."""
    seconds: float = 0.0


@dataclass
class SmokeMessage:
    """One message and its answer."""

    message_id: str
    sent_at: float
    state: str = "unknown"
    answer_seconds: float | None = None
    """Seconds from sending to the answer. None: there is no answer."""
    frames: int = 0
    """How often the socket received its reply."""
    seq: int | None = None


@dataclass
class SmokeTest:
    """One smoke test."""

    plan: SmokePlan
    sent: dict[str, SmokeMessage] = field(default_factory=dict)
    received_ids: list[str] = field(default_factory=list)
    """The ids of the messages whose replies the socket received, in this order."""

    async def run(self) -> list[SmokeCase]:
        """Send the messages, wait for the answers, and return the results.

        Raises:
            Unavailable: the gateway does not answer, or refuses the socket.
        """
        started = time.monotonic()
        conversation = str(uuid.uuid4())
        if self.plan.channel == "web":
            try:
                async with connect(self._socket_url(), proxy=None, open_timeout=SMOKE_REQUEST_TIMEOUT_S) as socket:
                    await self._exchange(socket, conversation)
            except (OSError, WebSocketException, TimeoutError) as error:
                raise Unavailable(self._explain_failure(error)) from None
        else:
            await self._send_by_api(self.plan.count, conversation, self.plan.address)
        await self._await_states(started)
        return self._evaluate(time.monotonic() - started)

    def _explain_failure(self, error: Exception) -> str:
        """Return what is wrong with the socket, and what to do."""
        url = self.plan.url
        closed = error.rcvd if isinstance(error, ConnectionClosed) else None
        if closed is not None:
            reason = f"{closed.code} {closed.reason}".rstrip()
            hint = (
                " Issue a token: msgctl token issue --user USER" if closed.code == CLOSE_CODE_UNAUTHORIZED else ""
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
        receiving = asyncio.create_task(self._receive_replies(socket))
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
                and not receiving.done()
            ):
                await asyncio.wait([receiving], timeout=0.05)
            await asyncio.sleep(0.5)  # a duplicate of a reply would arrive now
        finally:
            receiving.cancel()
            await asyncio.gather(receiving, return_exceptions=True)

    async def _receive_replies(self, socket: ClientConnection) -> None:
        async for raw in socket:
            frame = json.loads(raw)
            message = self.sent.get(frame.get("data", {}).get("messageId", ""))
            if frame["type"] == "message" and message:
                message.frames += 1
                message.seq = frame["data"].get("seq")
                message.answer_seconds = message.answer_seconds or time.monotonic() - message.sent_at
                self.received_ids.append(message.message_id)

    async def _send_by_api(self, count: int, conversation: str, metadata: Mapping[str, Any]) -> None:
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

    async def _await_states(self, started: float) -> None:
        """Read the state of each message through the API until all have ended. It may differ from the socket."""
        waiting = list(self.sent.values())
        while waiting:
            for message in waiting:
                path = f"/api/messages/{message.message_id}/status"
                answer = await asyncio.to_thread(self._request, "GET", path, None)
                message.state = answer.json().get("data", answer.json()).get("state", "unknown")
                if message.state == "completed" and message.answer_seconds is None:
                    message.answer_seconds = time.monotonic() - message.sent_at
            waiting = [message for message in waiting if message.state not in {"completed", "failed"}]
            if time.monotonic() - started > self.plan.timeout_s:
                return
            await asyncio.sleep(0.1 if waiting else 0)

    def _evaluate(self, seconds: float) -> list[SmokeCase]:
        messages = list(self.sent.values())
        states = Counter(message.state for message in messages)
        counts = ", ".join(f"{count} {state}" for state, count in states.items())
        unanswered = len(self.sent) - states["completed"]
        times = sorted(message.answer_seconds for message in messages if message.answer_seconds is not None)
        slow = [seconds for seconds in times if seconds > self.plan.answer_budget_s]
        cases = [
            SmokeCase(
                "answered",
                f"{unanswered} of {len(self.sent)} were not answered: {counts}" * bool(unanswered),
                seconds,
            ),
            SmokeCase(
                "within budget",
                f"{len(slow)} took longer than {self.plan.answer_budget_s:g} s" * bool(slow),
                times[-1] if times else 0.0,
            ),
        ]
        if self.plan.channel == "web":
            missing = sum(not message.frames for message in messages)
            doubled = sum(message.frames > 1 for message in messages)
            sequence = [self.sent[message_id].seq or 0 for message_id in self.received_ids]
            disorder = sequence != sorted(sequence)
            cases.append(
                SmokeCase("heard at the socket", f"the socket did not receive {missing} replies" * bool(missing))
            )
            cases.append(SmokeCase("in order", "the sequence numbers of the replies do not grow" * disorder))
            cases.append(SmokeCase("once", f"the socket received {doubled} replies twice" * bool(doubled)))
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
    except requests.RequestException:  # not a gateway answered
        return None
