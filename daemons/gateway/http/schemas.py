"""The JSON bodies of the HTTP API. `openapi` describes these structs."""

from typing import Annotated, Generic, Literal, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from msgctl.domain.errors import MsgctlError
from msgctl.domain.messages import State, WireStruct

Data = TypeVar("Data")


class Success(WireStruct, Generic[Data], kw_only=True, frozen=True):
    """The body of each successful response."""

    success: Literal[True] = True
    data: Data


class AcceptedMessage(WireStruct, kw_only=True, frozen=True):
    """The ids of an accepted message."""

    message_id: str
    conversation_id: str
    job_id: str
    """The same as `messageId`."""
    status: Literal["processing"] = "processing"
    estimated_time: str


class Accepted(WireStruct, kw_only=True, frozen=True):
    """The response to an accepted message."""

    success: Literal[True] = True
    message: str
    data: AcceptedMessage


class Ticket(WireStruct, kw_only=True, frozen=True):
    """A single-use ticket for a WebSocket, `/ws/chat?ticket=…`."""

    ticket: str
    expires_in: int
    """Seconds until the ticket expires."""


class MessageError(WireStruct, kw_only=True, frozen=True):
    """Why a message or its last attempt failed."""

    fault: str | None = msgspec.field(default=None, name="class")
    """`final`: no further attempt could have helped; `transient`; `dependency`."""
    code: str | None = None
    text: str | None = None


class MessageDelivery(WireStruct, kw_only=True, frozen=True):
    """The delivery of the response to its channel."""

    state: str | None = None
    """`NEW`, `SENDING`, `SENT`, `FAILED`, `UNKNOWN`, or `KEPT` until a client resumes."""
    provider_id: str | None = None


class MessageStatus(WireStruct, kw_only=True, frozen=True):
    """The state of a message."""

    message_id: str
    state: State
    progress: Annotated[int, msgspec.Meta(ge=0, le=100)]
    finished_on: int | None
    """Unix milliseconds, or null while the message is in progress."""
    attempts: int
    error: MessageError | UnsetType = UNSET
    delivery: MessageDelivery | UnsetType = UNSET


class Liveness(WireStruct, kw_only=True, frozen=True):
    """The response to a probe."""

    status: Literal["ok"] = "ok"


class Detail(WireStruct, kw_only=True, frozen=True):
    """One invalid field of a request."""

    field: str
    problem: str


class Problem(WireStruct, kw_only=True, frozen=True):
    """Why a request was refused."""

    code: str
    message: str
    details: list[Detail] | UnsetType = UNSET


class Refusal(WireStruct, kw_only=True, frozen=True):
    """The body of each error response."""

    success: Literal[False] = False
    error: Problem


def make_problem(code: str, text: str, error: MsgctlError | None = None) -> Problem:
    """Create the problem for a client, with `text` instead of the message of the error, which is for operators."""
    details = error.details if error else None
    return Problem(code=code, message=text, details=msgspec.convert(details, list[Detail]) if details else UNSET)
