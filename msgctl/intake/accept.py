"""The acceptance of messages from HTTP, from WebSocket frames, and from the command line.

A message is stored in Redis before its client gets the receipt. An error names the fault of a rejected message.
"""

import re
import uuid
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import msgspec
from msgspec import UNSET, UnsetType

from msgctl.domain.errors import Conflict, InvalidInput, MalformedBody, TryLater
from msgctl.domain.messages import (
    DEFAULT_PRIORITY,
    IDENTIFIER_PATTERN,
    PRIORITIES,
    Channel,
    Customer,
    Identifier,
    Message,
    MessageText,
    Priority,
    Quoted,
    WireStruct,
)
from msgctl.domain.ownership import not_found, require_owner
from msgctl.domain.times import timestamp
from msgctl.observability import tracing
from msgctl.queue.queue import EnqueueResult, EnqueueStatus, Queue

if TYPE_CHECKING:
    from msgctl.agents.agents import Agent  # it imports psycopg, which takes 0.1 s

MAX_METADATA_BYTES = 4096
"""The limit of `channelMetadata` in bytes of JSON."""
MAILBOX_RETRY_AFTER_S = 5.0
"""Seconds after which a full conversation probably accepts messages again."""
MAX_METADATA_DEPTH = 16
"""The limit of nesting levels in `channelMetadata`."""

UUID_PATTERN = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z"
AgentId = Annotated[str, msgspec.Meta(pattern=UUID_PATTERN)]

_PATTERN_TEXTS = {
    UUID_PATTERN: "Expected a UUID",
    IDENTIFIER_PATTERN: "Expected 1 to 64 letters, digits, _ or -",
}
"""A readable text for each pattern."""


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
    """The answer to a client whose message was accepted."""

    message_id: str
    conversation_id: str
    repeated: bool
    """Whether it had been accepted before."""


class TierAllowance(msgspec.Struct, frozen=True):
    """The limits and privileges of a user's tier."""

    priority_boost: int = 0
    """How many steps the priority of a message is raised."""
    max_in_flight: int = 0
    """How many messages the user may have in progress; 0: no limit."""


NO_ALLOWANCE = TierAllowance()


class AgentDirectory(Protocol):
    """A source of agents."""

    async def find(self, agent_id: str) -> "Agent | None":
        """Return the agent, or None."""
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
    """Return an error of msgspec as `{field, problem}`, without any value and without regular expressions."""
    problem, _, path = str(error).partition(" - at `$")
    problem = next((text for pattern, text in _PATTERN_TEXTS.items() if repr(pattern) in problem), problem)
    parts = [path.rstrip("`").lstrip(".")]
    # The text names a missing or unknown field, and the path does not.
    if match := _FIELD_NAME_PATTERN.search(problem):
        parts.append(match[1])
    field = ".".join(filter(None, parts))
    return {"field": field, "problem": problem}


def check_metadata(metadata: dict[str, Any]) -> None:
    """Reject channel metadata that is too large, or nested so deep that a later reader could fail.

    Raises:
        InvalidInput: it exceeds `MAX_METADATA_BYTES` bytes as JSON or `MAX_METADATA_DEPTH` levels.
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
        queue: the queue for accepted messages.
        agents: finds the agents that may get messages.
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
        customer: Customer | UnsetType = UNSET,
        quoted: Quoted | UnsetType = UNSET,
    ) -> AcceptReceipt:
        """Enqueue a message once, even if the client sends it several times.

        Args:
            submission: the message as the client sent it.
            user_id: the owner of the message, from a verified token.
            idempotency_key: the client's `Idempotency-Key`; empty for none.
            socket_id: the socket that sent it and gets the response; empty for none. It is not part of the digest,
                because a client that repeats a message may have a new socket.
            tier_allowance: the user's tier. It is not part of the digest either, because a tier may change.
            customer: who wrote it, as the provider of its channel says. It is not part of the digest either.
            quoted: the message that it answers, as the provider of its channel says; likewise.

        Raises:
            NotFound: the agent or the conversation does not exist for this user.
            Conflict: the id or key was used for a different message.
            TryLater: the conversation has too many waiting messages, or the user has too many in progress.
            RedisUnavailable, PostgresUnavailable: nothing was accepted.
        """
        agent = require_owner(
            "agent", await self._agents.find(submission.agent_id.lower()), user_id, lambda agent: agent.user_id
        )
        if not agent.active:
            raise not_found("agent")
        message = _to_message(submission, user_id, customer, quoted)
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
            result = await self._queue.enqueue(
                message, digest=digest, idempotency_key=idempotency_key, max_backlog=tier_allowance.max_in_flight
            )
            return to_receipt(result)


def _to_message(
    submission: Submission, user_id: str, customer: Customer | UnsetType, quoted: Quoted | UnsetType
) -> Message:
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
        customer=customer,
        quoted=quoted,
    )


def to_receipt(result: EnqueueResult) -> AcceptReceipt:
    """Return the receipt for a result of the queue, or raise the error for the client; see `Intake.accept`."""
    match result.status:
        case EnqueueStatus.ACCEPTED | EnqueueStatus.REPEATED:
            repeated = result.status is EnqueueStatus.REPEATED
            return AcceptReceipt(result.message_id, result.conversation_id, repeated)
        case EnqueueStatus.CONFLICT:
            raise Conflict("This message id or Idempotency-Key was used for another message.")
        case EnqueueStatus.OTHER_USER:
            raise not_found("conversation")
        case EnqueueStatus.MAILBOX_FULL:
            raise TryLater(
                "This conversation has reached its limit of waiting messages. Try again later.",
                retry_after=MAILBOX_RETRY_AFTER_S,
            )
        case EnqueueStatus.USER_LIMIT:
            raise TryLater(
                "You have reached your limit of messages in progress. Try again later.",
                retry_after=MAILBOX_RETRY_AFTER_S,
            )
