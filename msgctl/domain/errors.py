"""The tree of all errors of msgctl, each with its exit code, its HTTP status, and its code for operators.

    MsgctlError                       exit  1   HTTP 500   internal_error
    ├── InvalidInput                        2        422   validation_error
    │   ├── MalformedBody                   2        400   bad_json
    │   ├── BodyTooLarge                    2        413   body_too_large
    │   ├── UnsupportedMedia                2        415   unsupported_media_type
    │   └── ChannelNotConfigured            2        422   channel_not_configured
    ├── Unauthorized                        6        401   unauthorized
    ├── ChannelNotGranted                   6        403   channel_not_granted
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
    ├── AttemptFailed                 an attempt to process a message failed; see `retry`
    │   ├── WorkflowUnreachable       n8n is down: the message is snoozed
    │   ├── BreakerOpen               the circuit breaker of the workflow is open: the message is snoozed
    │   ├── WorkflowTimeout           the answer was not complete within the deadline
    │   ├── WorkflowRejected          n8n answered with an error status
    │   ├── WorkflowMisconfigured     the workflow is not set up to answer a chat
    │   ├── BadReply                  the answer cannot be sent to a customer
    │   ├── AgentGone                 the agent was deleted or disabled after the message was accepted
    │   ├── DependencyDown            Redis or PostgreSQL is down: the message is snoozed
    │   └── LeaseLost                 another worker has the message now: nothing may be committed
    └── DeliveryFailed                an attempt to deliver a response failed
        ├── BadAddress                the address of the recipient or the settings of the sender are missing
        ├── ProviderUnreachable       no connection was made, so nothing was sent
        ├── RequestInvalid            a setting makes the request invalid, so nothing was sent
        ├── ProviderRejected          the provider answered that it rejects the message
        └── DeliveryUnknown           the request was sent and no answer tells whether it arrived

Exit codes follow sysexits(3). A text says what happened and what to do, and holds no secret and no message text.
"""

from enum import StrEnum


class FaultClass(StrEnum):
    """Whether and how a failed attempt is repeated."""

    FINAL = "final"
    """Another attempt cannot help. The message becomes a dead letter."""
    TRANSIENT = "transient"
    """Another attempt may help. The attempt counts, and the next one follows after a backoff, up to the limit."""
    DEPENDENCY = "dependency"
    """A dependency is down. The message is snoozed, and the attempt does not count."""


class MsgctlError(Exception):
    """The base class of every error that msgctl raises on purpose.

    Args:
        message: says what happened and what to do.
        details: machine-readable details, one mapping per fault, e.g. `{"field": "priority", "problem": …}`.
        retry_after: seconds after which another try makes sense, if known.
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
    """The input is well-formed but invalid. `details` names each invalid field."""

    exit_code = 2
    http_status = 422
    code = "validation_error"


class MalformedBody(InvalidInput):
    """The body is not JSON."""

    http_status = 400
    code = "bad_json"


class BodyTooLarge(InvalidInput):
    """The body has more bytes than the interface accepts."""

    http_status = 413
    code = "body_too_large"


class UnsupportedMedia(InvalidInput):
    """The content type is not application/json."""

    http_status = 415
    code = "unsupported_media_type"


class ChannelNotConfigured(InvalidInput):
    """The channel of a message cannot send anything, because its settings are missing."""

    code = "channel_not_configured"


class Unauthorized(MsgctlError):
    """The token is missing or rejected. The client does not learn the reason."""

    exit_code = 6
    http_status = 401
    code = "unauthorized"


class ChannelNotGranted(MsgctlError):
    """The user may not send through this channel, or not through this sender of it."""

    exit_code = 6
    http_status = 403
    code = "channel_not_granted"


class NotFound(MsgctlError):
    """The resource does not exist or belongs to another user. Both answers are equal to the byte."""

    exit_code = 3
    http_status = 404
    code = "not_found"


class Conflict(MsgctlError):
    """The id already belongs to something else."""

    exit_code = 6
    http_status = 409
    code = "conflict"


class Refused(MsgctlError):
    """The operation would do harm, or was not confirmed."""

    exit_code = 6
    http_status = 409
    code = "refused"


class NothingMatched(MsgctlError):
    """The query is valid, but matches nothing."""

    exit_code = 5
    http_status = 404
    code = "nothing_matched"


class Incomplete(MsgctlError):
    """Only a part of the operation was done, or a condition that was checked does not hold."""

    exit_code = 4
    code = "incomplete"


class TryLater(MsgctlError):
    """A limit is reached. `retry_after` says when to try again."""

    exit_code = 75
    http_status = 429
    code = "too_many_requests"


class Unavailable(MsgctlError):
    """A dependency does not answer."""

    exit_code = 69
    http_status = 503
    code = "unavailable"


class RedisUnavailable(Unavailable):
    """Redis does not answer, or is in a state in which it cannot serve.

    Args:
        message: says what happened and what to do.
        retry_after: seconds after which another try makes sense, if known.
        state: the name of the state, e.g. `READONLY`, as `storage.redis.faults` reads it; empty if msgctl itself
            refuses new data.
    """

    code = "redis_unavailable"

    def __init__(self, message: str, *, retry_after: float | None = None, state: str = "") -> None:
        super().__init__(message, retry_after=retry_after)
        self.state = state


class PostgresUnavailable(Unavailable):
    """PostgreSQL does not answer."""

    code = "postgres_unavailable"


class ConfigurationError(MsgctlError):
    """A setting is missing, unknown, or invalid."""

    exit_code = 78
    code = "configuration_error"


class UnsafeRedis(ConfigurationError):
    """This Redis may lose accepted messages."""

    code = "unsafe_redis"


class AttemptFailed(MsgctlError):
    """One attempt at a message failed. The retry policy decides by `fault`."""

    fault = FaultClass.TRANSIENT
    code = "attempt_failed"


class WorkflowUnreachable(AttemptFailed):
    """No connection to n8n can be made (refused, no route, unknown host name, TLS)."""

    fault = FaultClass.DEPENDENCY
    code = "n8n_unreachable"


class BreakerOpen(AttemptFailed):
    """The circuit breaker of the workflow is open, so the workflow is not called."""

    fault = FaultClass.DEPENDENCY
    code = "breaker_open"


class WorkflowTimeout(AttemptFailed):
    """n8n gave no complete answer before the deadline."""

    code = "n8n_timeout"


class WorkflowRejected(AttemptFailed):
    """n8n answered with an HTTP status other than 2xx.

    Args:
        status: the HTTP status, 300-599.
        message: the text for the operator.
        fault: whether another attempt may help, as `retry.classify_status` returns it.
        retry_after: seconds that n8n asks msgctl to wait.
    """

    code = "n8n_rejected"

    def __init__(self, status: int, message: str, *, fault: FaultClass, retry_after: float | None = None) -> None:
        super().__init__(message, retry_after=retry_after)
        self.status = status
        self.fault = fault


class WorkflowMisconfigured(AttemptFailed):
    """The workflow answers in a way that no repetition can change."""

    fault = FaultClass.FINAL
    code = "n8n_misconfigured"


class BadReply(AttemptFailed):
    """n8n answered 200, but the body contains no reply that can be sent to a customer."""

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
    """The lease expired and another worker may hold the message, so this worker must write nothing more."""

    code = "lease_lost"


class DeliveryFailed(MsgctlError):
    """One attempt to deliver a response failed. The retry policy decides by `fault`.

    Args:
        message: the text for the operator; never a token, a phone number, or the text of a message.
        fault: whether another attempt may help.
        code: the code of the failure, e.g. `whatsapp_131047`.
        retry_after: seconds that the provider asks msgctl to wait.
        exceeded_limit: the name that the channel's handler gives to the exceeded rate. Every process stops sending
            under this rate, and the attempt does not count.
        stops_channel: whether the credentials of the channel are at fault, so that no delivery can succeed.
        initial_pause_s: seconds of the first pause of an exceeded rate if the provider names none. Each further
            pause is 4 times as long.
        wider_limit: the name of the rate that is exceeded instead if several narrow ones are at the same time.
        is_doubtful: whether nobody can be sure that nothing was sent. Such a part is sent at most once more.
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
        wider_limit: str = "",
        is_doubtful: bool = False,
    ) -> None:
        super().__init__(message, retry_after=retry_after)
        self.fault = fault
        self.code = code
        self.exceeded_limit = exceeded_limit
        self.stops_channel = stops_channel
        self.initial_pause_s = initial_pause_s
        self.wider_limit = wider_limit
        self.is_doubtful = is_doubtful


class BadAddress(DeliveryFailed):
    """`channelMetadata` names no recipient, or the settings name no sender."""

    code = "bad_address"

    def __init__(self, message: str, *, code: str = code) -> None:
        super().__init__(message, fault=FaultClass.FINAL, code=code)


class ProviderUnreachable(DeliveryFailed):
    """No connection was made (refused, no route, unknown host name, TLS), so nothing was sent."""

    code = "provider_unreachable"

    def __init__(self, message: str) -> None:
        super().__init__(message, fault=FaultClass.TRANSIENT, code=self.code)


class RequestInvalid(DeliveryFailed):
    """The request cannot be written, because a setting holds characters that HTTP forbids. Nothing was sent."""

    code = "request_invalid"

    def __init__(self, message: str) -> None:
        super().__init__(message, fault=FaultClass.FINAL, code=self.code, stops_channel=True)


class ProviderRejected(DeliveryFailed):
    """The provider answered that it rejects the message."""

    code = "provider_rejected"


class DeliveryUnknown(DeliveryFailed):
    """The request was written, and no answer tells whether it arrived, so it is not blindly sent again.

    Args:
        message: the text for the operator.
        code: the code of the failure.
        retry_after: seconds that the provider asks msgctl to wait.
        is_probably_sent: whether the provider reported a success that names no message. A second send would most
            likely be a duplicate, so there is none.
    """

    code = "delivery_unknown"

    def __init__(
        self,
        message: str,
        *,
        code: str = code,
        retry_after: float | None = None,
        is_probably_sent: bool = False,
    ) -> None:
        super().__init__(message, fault=FaultClass.TRANSIENT, code=code, retry_after=retry_after, is_doubtful=True)
        self.is_probably_sent = is_probably_sent
