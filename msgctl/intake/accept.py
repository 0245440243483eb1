"""Accepting a message: the one way in, for HTTP, for WebSocket frames and for the command line.

What is accepted is stored in Redis before anyone is told so; what is refused is refused by name.
"""

import re
import uuid
from typing import Annotated, Any, Protocol

import msgspec

from msgctl.agents.agent import Agent
from msgctl.domain.errors import Conflict, InvalidInput, MalformedBody, TryLater
from msgctl.domain.messages import (
    DEFAULT_PRIORITY,
    IDENTIFIER_PATTERN,
    PRIORITIES,
    Channel,
    Identifier,
    Message,
    MessageText,
    Priority,
    WireStruct,
)
from msgctl.domain.ownership import not_found, require_owner
from msgctl.domain.timestamps import timestamp
from msgctl.observability import tracing
from msgctl.queue.queue import EnqueueResult, EnqueueStatus, Queue

MAX_METADATA_BYTES = 4096
"""Bytes `channelMetadata` may have as JSON."""
MAILBOX_RETRY_AFTER_S = 5.0
"""Seconds after which a full conversation has likely moved on."""
MAX_METADATA_DEPTH = 16
"""Levels `channelMetadata` may be nested."""

UUID_PATTERN = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z"
AgentId = Annotated[str, msgspec.Meta(pattern=UUID_PATTERN)]

_PATTERN_TEXTS = {
    UUID_PATTERN: "Expected a UUID",
    IDENTIFIER_PATTERN: "Expected 1 to 64 letters, digits, _ or -",
}
"""What a pattern asks for, as a person would say it."""


class Submission(WireStruct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A message as a client sends it."""

    agent_id: AgentId
    message: MessageText
    conversation_id: Identifier | None = None
    channel: Channel = Channel.WEB
    channel_metadata: dict[str, Any] = msgspec.field(default_factory=dict)
    priority: Priority = DEFAULT_PRIORITY
    message_id: Identifier | None = None


class AcceptReceipt(msgspec.Struct, frozen=True):
    """What a client is told of its accepted message."""

    message_id: str
    conversation_id: str
    repeated: bool
    """Whether it had been accepted before."""


class TierAllowance(msgspec.Struct, frozen=True):
    """What a user's tier grants."""

    priority_boost: int = 0
    """By how much the priority of a message is raised."""
    max_in_flight: int = 0
    """Messages of the user that may be under way; 0: no bound."""


NO_ALLOWANCE = TierAllowance()


class AgentDirectory(Protocol):
    """Where agents are looked up."""

    async def find(self, agent_id: str) -> Agent | None:
        """The agent, or None."""
        ...


_submission_decoder = msgspec.json.Decoder(Submission)
_FIELD_NAME_PATTERN = re.compile(r" field `(.*)`\Z", re.DOTALL)


def parse_submission(body: bytes) -> Submission:
    """Read a request body.

    Raises:
        MalformedBody: it is not JSON in UTF-8.
        InvalidInput: a field is missing, unknown or out of bounds; `details` names it.
    """
    try:
        submission = _submission_decoder.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidInput("The message is not acceptable.", details=[describe_validation_error(error)]) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise MalformedBody("The body is not JSON in UTF-8.") from None
    check_metadata(submission.channel_metadata)
    return submission


def describe_validation_error(error: msgspec.ValidationError) -> dict[str, str]:
    """A complaint of msgspec as `{field, problem}`; it never quotes a value, nor a regular expression."""
    problem, _, path = str(error).partition(" - at `$")
    problem = next((words for pattern, words in _PATTERN_TEXTS.items() if repr(pattern) in problem), problem)
    parts = [path.rstrip("`").lstrip(".")]
    if named := _FIELD_NAME_PATTERN.search(
        problem
    ):  # a missing or unknown field is named in the text, not in the path
        parts.append(named[1])
    field = ".".join(filter(None, parts))
    return {"field": field, "problem": problem}


def check_metadata(metadata: dict[str, Any]) -> None:
    """Refuse channel metadata that is too large, or nested so deep that what reads it later could break.

    Raises:
        InvalidInput: over `MAX_METADATA_BYTES` bytes as JSON, or over `MAX_METADATA_DEPTH` levels.
    """
    if not metadata:
        return
    if _exceeds_depth(metadata, MAX_METADATA_DEPTH):
        problem = f"Expected at most {MAX_METADATA_DEPTH} levels"
    elif len(msgspec.json.encode(metadata)) > MAX_METADATA_BYTES:
        problem = f"Expected at most {MAX_METADATA_BYTES} bytes"
    else:
        return
    details = [{"field": "channelMetadata", "problem": problem}]
    raise InvalidInput("The message is not acceptable.", details=details)


def _exceeds_depth(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    members = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_exceeds_depth(member, levels - 1) for member in members)


class Intake:
    """Accepts messages.

    Args:
        queue: where accepted messages go.
        agents: who may be written to.
    """

    def __init__(self, queue: Queue, agents: AgentDirectory) -> None:
        self._queue = queue
        self._agents = agents

    async def accept(
        self,
        submission: Submission,
        user_id: str,
        *,
        idempotency_key: str = "",
        socket_id: str = "",
        tier_allowance: TierAllowance = NO_ALLOWANCE,
    ) -> AcceptReceipt:
        """Store a message for the workers, once, however often it is sent.

        Args:
            submission: what the client sent.
            user_id: whose message it is, from a verified token.
            idempotency_key: the client's `Idempotency-Key`; empty for none.
            socket_id: the socket it came by, which its response shall go to; empty for none. It is no part of
                what a repetition must repeat, since a client that comes back has a new socket.
            tier_allowance: what the user's tier grants; no part of it either, since a tier may change meanwhile.

        Raises:
            NotFound: agent or conversation do not exist for this user.
            Conflict: the id or key was used for something else.
            TryLater: the conversation has too many waiting messages, or the user too many under way.
            RedisUnavailable, PostgresUnavailable: nothing was accepted.
        """
        agent = require_owner(
            "agent", await self._agents.find(submission.agent_id.lower()), user_id, lambda agent: agent.user_id
        )
        if not agent.active:
            raise not_found("agent")
        message = _to_message(submission, user_id)
        digest = msgspec.structs.replace(
            message,
            message_id=submission.message_id or "",
            conversation_id=submission.conversation_id or "",
        ).digest()
        if tier_allowance.priority_boost:
            priority = max(PRIORITIES[0], message.priority - tier_allowance.priority_boost)
            message = msgspec.structs.replace(message, priority=priority)
        if socket_id:
            metadata = {**message.channel_metadata, "websocketId": socket_id}
            message = msgspec.structs.replace(message, channel_metadata=metadata)
        with tracing.span("accept", message.message_id, kind="producer", root=True, channel=message.channel):
            enqueued = await self._queue.enqueue(
                message, digest=digest, idempotency_key=idempotency_key, max_backlog=tier_allowance.max_in_flight
            )
            return to_receipt(enqueued)


def _to_message(submission: Submission, user_id: str) -> Message:
    return Message(
        message_id=submission.message_id or str(uuid.uuid4()),
        conversation_id=submission.conversation_id or str(uuid.uuid4()),
        agent_id=submission.agent_id.lower(),
        user_id=user_id,
        message=submission.message,
        channel=submission.channel,
        channel_metadata=submission.channel_metadata,
        priority=submission.priority,
        timestamp=timestamp(),
    )


def to_receipt(enqueued: EnqueueResult) -> AcceptReceipt:
    """The queue's answer as a receipt, or the error that a client is told; see `Intake.accept`."""
    match enqueued.status:
        case EnqueueStatus.ACCEPTED | EnqueueStatus.REPEATED:
            repeated = enqueued.status is EnqueueStatus.REPEATED
            return AcceptReceipt(enqueued.message_id, enqueued.conversation_id, repeated)
        case EnqueueStatus.CONFLICT:
            raise Conflict("This message id or Idempotency-Key was used for another message.")
        case EnqueueStatus.OTHER_USER:
            raise not_found("conversation")
        case EnqueueStatus.MAILBOX_FULL:
            raise TryLater(
                "This conversation has as many waiting messages as it may have.", retry_after=MAILBOX_RETRY_AFTER_S
            )
        case EnqueueStatus.USER_LIMIT:
            raise TryLater(
                "You have as many messages under way as you may have.", retry_after=MAILBOX_RETRY_AFTER_S
            )
