"""Every error of msgctl, one tree, each with what a shell, an HTTP client and an operator see of it.

    MsgctlError                       exit  1   HTTP 500   internal_error
    ├── InvalidInput                        2        422   validation_error
    │   ├── MalformedBody                   2        400   bad_json
    │   ├── BodyTooLarge                    2        413   body_too_large
    │   └── UnsupportedMedia                2        415   unsupported_media_type
    ├── Unauthorized                        6        401   unauthorized
    ├── NotFound                            3        404   not_found
    ├── Conflict                            6        409   conflict
    ├── Refused                             6        409   refused
    ├── NothingMatched                      5        404   nothing_matched
    ├── Incomplete                          4        500   incomplete
    ├── TryLater                           75        429   too_many_requests
    ├── Unavailable                        69        503   unavailable
    │   ├── RedisUnavailable               69        503   redis_unavailable
    │   └── PostgresUnavailable            69        503   postgres_unavailable
    ├── ConfigurationError                 78        500   configuration_error
    │   └── UnsafeRedis                    78        500   unsafe_redis
    ├── AttemptFailed                 the fault of one attempt at one message; see `retry`
    │   ├── WorkflowUnreachable       n8n is down: the message waits, nothing is charged
    │   ├── WorkflowTimeout           no whole answer within the deadline
    │   ├── WorkflowRejected          an HTTP status that is no success
    │   ├── WorkflowMisconfigured     n8n answers, but is not set up to answer a chat
    │   ├── BadReply                  an answer no customer can be sent
    │   ├── AgentGone                 the agent vanished after the message was accepted
    │   ├── DependencyDown            Redis or PostgreSQL is down: the message waits
    │   └── LeaseLost                 another worker owns the message now: commit nothing
    └── DeliveryFailed                the fault of one attempt at delivering a response
        ├── BadAddress                there is nowhere to send it, or nothing set up to send it with
        ├── ProviderUnreachable       for certain not sent: no connection was made
        ├── ProviderRejected          the provider answered that it does not take it
        └── DeliveryUnknown           the request was written and no answer came: it may have arrived

Exit codes follow sysexits(3) where it has one. A text names what is wrong and what to do; it never holds
a secret or the text of a message.
"""

from enum import StrEnum


class FaultClass(StrEnum):
    """What an operator and the retry policy need to know of a failed attempt."""

    FINAL = "final"
    """Trying again cannot help: straight to the dead letters."""
    TRANSIENT = "transient"
    """Trying again may help: charged, with backoff, up to the limit of attempts."""
    DEPENDENCY = "dependency"
    """Something the message cannot help is down: it waits and is charged nothing."""


class MsgctlError(Exception):
    """The root: whatever is raised on purpose descends from here.

    Args:
        message: one sentence that says what is wrong and what to do.
        details: machine-readable particulars, one mapping a fault, e.g. `{"field": "priority", "problem": …}`.
        retry_after: seconds after which trying again makes sense, if that is known.
    """

    exit_code = 1
    http_status = 500
    code = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        details: list[dict[str, str]] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        self.retry_after = retry_after


class InvalidInput(MsgctlError):
    """What was sent is well-formed but not acceptable; `details` names each field."""

    exit_code = 2
    http_status = 422
    code = "validation_error"


class MalformedBody(InvalidInput):
    """What was sent is not JSON at all."""

    http_status = 400
    code = "bad_json"


class BodyTooLarge(InvalidInput):
    """More bytes than the interface takes."""

    http_status = 413
    code = "body_too_large"


class UnsupportedMedia(InvalidInput):
    """A content type other than application/json."""

    http_status = 415
    code = "unsupported_media_type"


class Unauthorized(MsgctlError):
    """No token, or one that is not accepted; which of its faults it has is not told."""

    exit_code = 6
    http_status = 401
    code = "unauthorized"


class NotFound(MsgctlError):
    """It does not exist, or not for the one who asks: the two are the same to the byte."""

    exit_code = 3
    http_status = 404
    code = "not_found"


class Conflict(MsgctlError):
    """The id is taken by something else."""

    exit_code = 6
    http_status = 409
    code = "conflict"


class Refused(MsgctlError):
    """It would do harm, or nobody confirmed it."""

    exit_code = 6
    http_status = 409
    code = "refused"


class NothingMatched(MsgctlError):
    """The query is fine and nothing answers to it."""

    exit_code = 5
    http_status = 404
    code = "nothing_matched"


class Incomplete(MsgctlError):
    """A part of what was asked was done, or a condition that was asked about does not hold."""

    exit_code = 4
    code = "incomplete"


class TryLater(MsgctlError):
    """A limit is reached; `retry_after` says when to come back."""

    exit_code = 75
    http_status = 429
    code = "too_many_requests"


class Unavailable(MsgctlError):
    """Something this command needs does not answer."""

    exit_code = 69
    http_status = 503
    code = "unavailable"


class RedisUnavailable(Unavailable):
    """Redis does not answer, is full, or refuses writes."""

    code = "redis_unavailable"


class PostgresUnavailable(Unavailable):
    """PostgreSQL does not answer."""

    code = "postgres_unavailable"


class ConfigurationError(MsgctlError):
    """A setting is missing, unknown or impossible."""

    exit_code = 78
    code = "configuration_error"


class UnsafeRedis(ConfigurationError):
    """This Redis may forget what it accepted."""

    code = "unsafe_redis"


class AttemptFailed(MsgctlError):
    """One attempt at one message failed; `fault` tells the retry policy what that means."""

    fault = FaultClass.TRANSIENT
    code = "attempt_failed"


class WorkflowUnreachable(AttemptFailed):
    """n8n cannot be connected to (refused, no route, no such name, TLS)."""

    fault = FaultClass.DEPENDENCY
    code = "n8n_unreachable"


class BreakerOpen(AttemptFailed):
    """The workflow keeps failing and is not called for a while."""

    fault = FaultClass.DEPENDENCY
    code = "breaker_open"


class WorkflowTimeout(AttemptFailed):
    """n8n gave no whole answer within the deadline."""

    code = "n8n_timeout"


class WorkflowRejected(AttemptFailed):
    """n8n answered with an HTTP status that is no success.

    Args:
        status: the HTTP status, 300-599.
        message: what to tell the operator.
        fault: whether trying again may help; `retry.classify_status` tells.
        retry_after: seconds n8n asked us to wait.
    """

    code = "n8n_rejected"

    def __init__(self, status: int, message: str, *, fault: FaultClass, retry_after: float | None = None) -> None:
        super().__init__(message, retry_after=retry_after)
        self.status = status
        self.fault = fault


class WorkflowMisconfigured(AttemptFailed):
    """The workflow answers in a way that no repetition will mend."""

    fault = FaultClass.FINAL
    code = "n8n_misconfigured"


class BadReply(AttemptFailed):
    """n8n answered 200 with something no customer can be sent."""

    code = "n8n_bad_reply"


class AgentGone(AttemptFailed):
    """The agent was deleted or disabled after the message was accepted."""

    fault = FaultClass.FINAL
    code = "agent_gone"


class DependencyDown(AttemptFailed):
    """Redis or PostgreSQL failed in the middle of an attempt."""

    fault = FaultClass.DEPENDENCY
    code = "dependency_down"


class LeaseLost(AttemptFailed):
    """The lease ran out and another worker may have the message: nothing more may be written."""

    code = "lease_lost"


class DeliveryFailed(MsgctlError):
    """One attempt at delivering a response failed; `fault` tells the retry policy what that means.

    Args:
        message: what to tell the operator; never a token, a phone number or the text of a message.
        fault: whether trying again may help.
        code: which failure, e.g. `whatsapp_131047`.
        retry_after: seconds the provider asked us to wait.
        exceeded_limit: the rate that is exceeded, as the channel's handler calls it; closed for every process, and
            the try is not charged.
        stops_channel: whether the channel's own credentials are at fault, so that no delivery can succeed.
        initial_pause_s: seconds an exceeded rate is closed at first where the provider names none; then 4 times.
    """

    code = "delivery_failed"

    def __init__(
        self,
        message: str,
        *,
        fault: FaultClass,
        code: str,
        retry_after: float | None = None,
        exceeded_limit: str = "",
        stops_channel: bool = False,
        initial_pause_s: float = 1.0,
    ) -> None:
        super().__init__(message, retry_after=retry_after)
        self.fault = fault
        self.code = code
        self.exceeded_limit = exceeded_limit
        self.stops_channel = stops_channel
        self.initial_pause_s = initial_pause_s


class BadAddress(DeliveryFailed):
    """`channelMetadata` names no one to send to, or the settings name no one to send with."""

    code = "bad_address"

    def __init__(self, message: str, *, code: str = code) -> None:
        super().__init__(message, fault=FaultClass.FINAL, code=code)


class ProviderUnreachable(DeliveryFailed):
    """No connection was made (refused, no route, no such name, TLS), so nothing was sent."""

    code = "provider_unreachable"

    def __init__(self, message: str) -> None:
        super().__init__(message, fault=FaultClass.TRANSIENT, code=self.code)


class ProviderRejected(DeliveryFailed):
    """The provider answered that it does not take the message."""

    code = "provider_rejected"


class DeliveryUnknown(DeliveryFailed):
    """The request was written and no answer came: it may have arrived, so it is not blindly sent again."""

    code = "delivery_unknown"

    def __init__(self, message: str, *, code: str = code) -> None:
        super().__init__(message, fault=FaultClass.TRANSIENT, code=code)
