"""One open WebSocket: reads frames of its client, calls the service, and sends the frames of the session."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from starlette.types import Receive, Send

from daemons.gateway.limits import FrameBudget
from daemons.gateway.service import GatewayService
from daemons.gateway.ws.close_codes import (
    CLOSE_NO_STATUS,
    CLOSE_RATE_LIMITED,
    CLOSE_SLOW_CONSUMER,
    CLOSE_TOO_BIG,
    CLOSE_UNAUTHORIZED,
)
from daemons.gateway.ws.send_queue import SendQueue
from daemons.gateway.ws.session import ChatSession, ClientRequest
from msgctl.auth.tokens import Claims
from msgctl.config.settings import Settings
from msgctl.domain.errors import MalformedBody, MsgctlError, NotFound, Unavailable
from msgctl.domain.messages import Failure, Response
from msgctl.intake.accept import AcceptReceipt, Submission
from msgctl.observability import logs
from msgctl.observability.metrics import definitions as metrics

log = logs.get_logger(__name__)

FRAMES_RECEIVED = metrics.FRAMES.labels("in")

MAX_JOINED_CONVERSATIONS = 1024
"""The conversations a socket can join. With one more, it leaves the one that it used longest ago. Replies to its
own messages still reach it."""
MAX_SOCKET_LIFETIME_S = 2_592_000.0
"""The maximum lifetime of a socket in seconds, 30 days, even if its token is valid for longer."""


class WebSocketConnection:
    """A socket and its user.

    Args:
        session: the state of the protocol.
        claims: the user and the expiry of the token.
        service: serves the requests of the client.
        send: the ASGI `send` of the socket.
        force_close: closes the socket with a code and a reason even if its client does not read.
        settings: the limits of the send queue and of a frame.
        progress: whether the client requested progress frames.
    """

    def __init__(
        self,
        session: ChatSession,
        claims: Claims,
        service: GatewayService,
        *,
        send: Send,
        force_close: Callable[[int, str], None],
        settings: Settings,
        progress: bool,
    ) -> None:
        self.socket_id = session.socket_id
        self.user_id = claims.user_id
        self.wants_progress = progress
        self.conversations: dict[str, None] = {}  # an ordered set: the least recently used one is first
        self._session = session
        self._claims = claims
        self._service = service
        self._max_frame_bytes = settings.gateway.max_body
        self._frame_budget = FrameBudget(settings.limits.frames, time.monotonic())
        self._closing = False
        self._send_queue = SendQueue(
            send,
            max_frames=settings.gateway.max_queued_frames,
            timeout=settings.gateway.send_timeout,
            on_slow_client=self._drop_slow_consumer,
        )
        self._force_close = force_close

    async def serve(self, receive: Receive) -> int:
        """Serve the client until either side closes the socket. Return the close code."""
        lifetime = min(max(0.0, self._claims.expires_at - time.time()), MAX_SOCKET_LIFETIME_S)
        expiry = asyncio.get_running_loop().call_later(lifetime, self.close, CLOSE_UNAUTHORIZED, "token expired")
        try:
            return await self._read(receive)
        finally:
            expiry.cancel()
            await self._send_queue.stop()

    def send_connected(self) -> None:
        """Send the `connected` frame. Call this once replies can reach the socket."""
        self._send_queue.put([self._session.connected()])

    def close(self, code: int, reason: str) -> None:
        """Close the socket after the frames that are queued already."""
        if not self._closing:
            metrics.SOCKETS_CLOSED.labels(code).inc()
        self._closing = True
        self._send_queue.close(code, reason)

    def deliver(self, event: Response | Failure) -> None:
        """Send a reply, or that the message has failed."""
        session = self._session
        frames = session.deliver(event) if isinstance(event, Response) else session.deliver_failure(event)
        self._send_queue.put(frames, held=session.held_count)

    def progress(self, message_id: str, progress: int) -> None:
        """Send the progress of a message."""
        self._send_queue.put(self._session.progress(message_id, progress), held=self._session.held_count)

    def _drop_slow_consumer(self) -> None:
        metrics.SOCKETS_CLOSED.labels(CLOSE_SLOW_CONSUMER).inc()
        self._force_close(CLOSE_SLOW_CONSUMER, "slow consumer")

    async def _read(self, receive: Receive) -> int:
        while True:
            event = await receive()
            if event["type"] == "websocket.disconnect":
                return int(event.get("code") or CLOSE_NO_STATUS)
            FRAMES_RECEIVED.inc()
            if not self._frame_budget.try_consume(time.monotonic()):
                self.close(CLOSE_RATE_LIMITED, "too many frames")
            if not self._closing:
                await self._handle_frame(event.get("text"))

    async def _handle_frame(self, text: str | None) -> None:
        if text is None:
            self._send_queue.put(self._session.refuse(MalformedBody("The frame is binary. Send text frames.")))
        elif len(text) > self._max_frame_bytes or len(text.encode()) > self._max_frame_bytes:
            self.close(CLOSE_TOO_BIG, "frame too big")
        else:
            request = self._session.receive(text)
            if isinstance(request, str):
                self._send_queue.put([request])  # an immediate reply
            else:
                await self._send_queue.put_with_backpressure(await self._answer(request))
                self._send_queue.put(self._session.release_held())

    async def _answer(self, request: ClientRequest) -> list[str]:
        try:
            async with self._service.count_frame(self._claims):
                return await self._process(request)
        except MsgctlError as error:
            return self._session.refuse(error, request)
        except Exception:
            log.exception("Frame could not be answered", socketId=self.socket_id)
            return self._session.refuse(MsgctlError("Internal error. See the log of the gateway."), request)

    async def _process(self, request: ClientRequest) -> list[str]:
        """Join the conversation first, so that no reply is missed. Leave it again if it does not exist."""
        conversation = request.conversation_id
        is_new = conversation is not None and await self._join(conversation)
        try:
            if isinstance(request, Submission):
                return self._session.accepted(await self._submit(request))
            missed = await self._service.missed_replies(request.conversation_id, self.user_id, request.after_seq)
        except NotFound:
            if conversation is not None and is_new:
                self.conversations.pop(conversation, None)
                await self._service.leave(self.socket_id, conversation)
            raise
        return self._session.resumed(request, missed.responses, recovered=missed.recovered)

    async def _submit(self, submission: Submission) -> AcceptReceipt:
        receipt = await self._service.accept(submission, self._claims, socket_id=self.socket_id)
        with suppress(Unavailable):  # the message is accepted; its reply is addressed to this socket
            await self._join(receipt.conversation_id)
        return receipt

    async def _join(self, conversation_id: str) -> bool:
        """Join a conversation. Return whether the socket had not joined it before."""
        is_new = conversation_id not in self.conversations
        if is_new:
            await self._service.join(self.socket_id, conversation_id)
        self.conversations.pop(conversation_id, None)
        self.conversations[conversation_id] = None
        if len(self.conversations) > MAX_JOINED_CONVERSATIONS:
            oldest = next(iter(self.conversations))
            del self.conversations[oldest]
            with suppress(Unavailable):  # Redis drops it with the socket
                await self._service.leave(self.socket_id, oldest)
        return is_new
