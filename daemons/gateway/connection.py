"""One WebSocket at work: reads its client's frames, asks the pipeline, writes what the session says."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from starlette.types import Receive, Send

from daemons.gateway.admission import Admission
from daemons.gateway.limits import FrameBudget
from daemons.gateway.outbox import Outbox
from daemons.gateway.session import Question, Session
from msgctl import logs
from msgctl.config.settings import Settings
from msgctl.errors import MalformedBody, MsgctlError, NotFound, Unavailable
from msgctl.intake import Receipt, Submission
from msgctl.messages import Failure, Response
from msgctl.metrics import definitions as metrics
from msgctl.tokens import Claims

log = logs.get(__name__)

FRAMES_IN = metrics.FRAMES.labels("in")

UNAUTHORIZED = 4401
TOO_MANY = 4429
SLOW_CONSUMER = 4408
GOING_AWAY = 1001
TOO_BIG = 1009
TRY_LATER = 1013
NO_STATUS = 1005
MAX_JOINED = 1024
"""Conversations a socket hears at most; with one more, it hears no more of the one it named longest ago. Replies
to what it sends itself find it all the same."""
MAX_LIFE = 2_592_000.0
"""Seconds after which a socket must show its token again, however long that is good: 30 days."""


class Connection:
    """A socket and whom it belongs to.

    Args:
        session: what is said on it.
        claims: whose it is, and until when.
        admission: what its questions are put to.
        send: the socket's ASGI `send`.
        cut: closes it although its client does not read, with a code and a reason.
        settings: the bounds of its queue and of a frame.
        progress: whether its client asked for progress frames.
    """

    def __init__(
        self,
        session: Session,
        claims: Claims,
        admission: Admission,
        *,
        send: Send,
        cut: Callable[[int, str], None],
        settings: Settings,
        progress: bool,
    ) -> None:
        self.socket_id = session.socket_id
        self.user_id = claims.user_id
        self.wants_progress = progress
        self.conversations: dict[str, None] = {}  # a set that knows which was named longest ago
        self._session = session
        self._claims = claims
        self._admission = admission
        self._max_frame = settings.gateway.max_body
        self._budget = FrameBudget(settings.limits.frames, time.monotonic())
        self._closing = False
        self._outbox = Outbox(
            send,
            max_frames=settings.gateway.max_queued_frames,
            timeout=settings.gateway.send_timeout,
            give_up=self._give_up,
        )
        self._cut = cut

    async def serve(self, receive: Receive) -> int:
        """Speak with the client until either side ends it; the close code."""
        lifetime = min(max(0.0, self._claims.expires_at - time.time()), MAX_LIFE)
        expiry = asyncio.get_running_loop().call_later(lifetime, self.close, UNAUTHORIZED, "token expired")
        try:
            return await self._read(receive)
        finally:
            expiry.cancel()
            await self._outbox.stop()

    def greet(self) -> None:
        """Tell the client that it is connected, once it can be reached."""
        self._outbox.put([self._session.connected()])

    def close(self, code: int, reason: str) -> None:
        """End the socket after what is queued already."""
        if not self._closing:
            metrics.SOCKETS_CLOSED.labels(code).inc()
        self._closing = True
        self._outbox.close(code, reason)

    def deliver(self, event: Response | Failure) -> None:
        """Show a reply, or that there will be none."""
        session = self._session
        frames = session.deliver(event) if isinstance(event, Response) else session.fail(event)
        self._outbox.put(frames, held=session.held)

    def progress(self, message_id: str, progress: int) -> None:
        """Show how far a message has come."""
        self._outbox.put(self._session.progress(message_id, progress), held=self._session.held)

    def _give_up(self) -> None:
        metrics.SOCKETS_CLOSED.labels(SLOW_CONSUMER).inc()
        self._cut(SLOW_CONSUMER, "slow consumer")

    async def _read(self, receive: Receive) -> int:
        while True:
            event = await receive()
            if event["type"] == "websocket.disconnect":
                return int(event.get("code") or NO_STATUS)
            FRAMES_IN.inc()
            if not self._budget.take(time.monotonic()):
                self.close(TOO_MANY, "too many frames")
            if not self._closing:
                await self._hear(event.get("text"))

    async def _hear(self, text: str | None) -> None:
        if text is None:
            self._outbox.put(self._session.refuse(MalformedBody("Only text frames are spoken here.")))
        elif len(text) > self._max_frame or len(text.encode()) > self._max_frame:
            self.close(TOO_BIG, "frame too big")
        else:
            answer = self._session.receive(text)
            if isinstance(answer, str):
                self._outbox.put([answer])
            else:
                await self._outbox.offer(await self._answer(answer))
                self._outbox.put(self._session.release())

    async def _answer(self, question: Question) -> list[str]:
        try:
            async with self._admission.counting(self._claims):
                return await self._work_out(question)
        except MsgctlError as error:
            return self._session.refuse(error, question)
        except Exception:
            log.exception("a frame could not be answered", socketId=self.socket_id)
            return self._session.refuse(MsgctlError("Something is wrong in here; see the log."), question)

    async def _work_out(self, question: Question) -> list[str]:
        """Joined before it is worked out, so that no reply comes too early; left again where it does not exist."""
        conversation = question.conversation_id
        newly = conversation is not None and await self._join(conversation)
        try:
            if isinstance(question, Submission):
                return self._session.accepted(await self._submit(question))
            missed = await self._admission.missed(question.conversation_id, self.user_id, question.after_seq)
        except NotFound:
            if conversation is not None and newly:
                self.conversations.pop(conversation, None)
                await self._admission.leave(self.socket_id, conversation)
            raise
        return self._session.resumed(question, missed.responses, recovered=missed.recovered)

    async def _submit(self, submission: Submission) -> Receipt:
        receipt = await self._admission.accept(submission, self._claims, socket_id=self.socket_id)
        with suppress(Unavailable):  # accepted is accepted; the reply finds this socket by its name
            await self._join(receipt.conversation_id)
        return receipt

    async def _join(self, conversation_id: str) -> bool:
        """Whether it had not joined before."""
        newly = conversation_id not in self.conversations
        if newly:
            await self._admission.join(self.socket_id, conversation_id)
        self.conversations.pop(conversation_id, None)
        self.conversations[conversation_id] = None
        if len(self.conversations) > MAX_JOINED:
            oldest = next(iter(self.conversations))
            del self.conversations[oldest]
            with suppress(Unavailable):  # Redis drops it with the socket
                await self._admission.leave(self.socket_id, oldest)
        return newly
