"""One WebSocket at work: reads its client's frames, asks the pipeline, writes what the session says."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from starlette.types import Receive, Send

from daemons.gateway.limits import FrameBudget
from daemons.gateway.service import GatewayService
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

CLOSE_UNAUTHORIZED = 4401
CLOSE_RATE_LIMITED = 4429
CLOSE_SLOW_CONSUMER = 4408
CLOSE_GOING_AWAY = 1001
CLOSE_TOO_BIG = 1009
CLOSE_TRY_LATER = 1013
CLOSE_NO_STATUS = 1005
MAX_JOINED_CONVERSATIONS = 1024
"""Conversations a socket hears at most; with one more, it hears no more of the one it named longest ago. Replies
to what it sends itself find it all the same."""
MAX_SOCKET_LIFETIME_S = 2_592_000.0
"""Seconds after which a socket must show its token again, however long that is good: 30 days."""


class WebSocketConnection:
    """A socket and whom it belongs to.

    Args:
        session: what is said on it.
        claims: whose it is, and until when.
        service: what its questions are put to.
        send: the socket's ASGI `send`.
        force_close: closes it although its client does not read, with a code and a reason.
        settings: the bounds of its queue and of a frame.
        progress: whether its client asked for progress frames.
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
        self.conversations: dict[str, None] = {}  # a set that knows which was named longest ago
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
        """Speak with the client until either side ends it; the close code."""
        lifetime = min(max(0.0, self._claims.expires_at - time.time()), MAX_SOCKET_LIFETIME_S)
        expiry = asyncio.get_running_loop().call_later(lifetime, self.close, CLOSE_UNAUTHORIZED, "token expired")
        try:
            return await self._read(receive)
        finally:
            expiry.cancel()
            await self._send_queue.stop()

    def send_connected(self) -> None:
        """Tell the client that it is connected, once it can be reached."""
        self._send_queue.put([self._session.connected()])

    def close(self, code: int, reason: str) -> None:
        """End the socket after what is queued already."""
        if not self._closing:
            metrics.SOCKETS_CLOSED.labels(code).inc()
        self._closing = True
        self._send_queue.close(code, reason)

    def deliver(self, event: Response | Failure) -> None:
        """Show a reply, or that there will be none."""
        session = self._session
        frames = session.deliver(event) if isinstance(event, Response) else session.deliver_failure(event)
        self._send_queue.put(frames, held=session.held_count)

    def progress(self, message_id: str, progress: int) -> None:
        """Show how far a message has come."""
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
            self._send_queue.put(self._session.refuse(MalformedBody("Only text frames are spoken here.")))
        elif len(text) > self._max_frame_bytes or len(text.encode()) > self._max_frame_bytes:
            self.close(CLOSE_TOO_BIG, "frame too big")
        else:
            answer = self._session.receive(text)
            if isinstance(answer, str):
                self._send_queue.put([answer])
            else:
                await self._send_queue.put_with_backpressure(await self._answer(answer))
                self._send_queue.put(self._session.release_held())

    async def _answer(self, question: ClientRequest) -> list[str]:
        try:
            async with self._service.count_frame(self._claims):
                return await self._process(question)
        except MsgctlError as error:
            return self._session.refuse(error, question)
        except Exception:
            log.exception("a frame could not be answered", socketId=self.socket_id)
            return self._session.refuse(MsgctlError("Something is wrong in here; see the log."), question)

    async def _process(self, question: ClientRequest) -> list[str]:
        """Joined before it is worked out, so that no reply comes too early; left again where it does not exist."""
        conversation = question.conversation_id
        newly = conversation is not None and await self._join(conversation)
        try:
            if isinstance(question, Submission):
                return self._session.accepted(await self._submit(question))
            missed = await self._service.missed_replies(question.conversation_id, self.user_id, question.after_seq)
        except NotFound:
            if conversation is not None and newly:
                self.conversations.pop(conversation, None)
                await self._service.leave(self.socket_id, conversation)
            raise
        return self._session.resumed(question, missed.responses, recovered=missed.recovered)

    async def _submit(self, submission: Submission) -> AcceptReceipt:
        receipt = await self._service.accept(submission, self._claims, socket_id=self.socket_id)
        with suppress(Unavailable):  # accepted is accepted; the reply finds this socket by its name
            await self._join(receipt.conversation_id)
        return receipt

    async def _join(self, conversation_id: str) -> bool:
        """Whether it had not joined before."""
        newly = conversation_id not in self.conversations
        if newly:
            await self._service.join(self.socket_id, conversation_id)
        self.conversations.pop(conversation_id, None)
        self.conversations[conversation_id] = None
        if len(self.conversations) > MAX_JOINED_CONVERSATIONS:
            oldest = next(iter(self.conversations))
            del self.conversations[oldest]
            with suppress(Unavailable):  # Redis drops it with the socket
                await self._service.leave(self.socket_id, oldest)
        return newly
