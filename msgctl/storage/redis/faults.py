"""The one reading of an error of Redis: no answer, a state in which Redis cannot serve, or a fault of the command.

redis-py gives a class to some error codes and cuts the code off, and leaves others at the beginning of the text.
Within a script, Redis 6.2 puts the code in the middle. So a code counts wherever it stands, and so does its class.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from redis import exceptions

from msgctl.domain.errors import RedisUnavailable

REDIS_FAULTS = (RedisUnavailable, exceptions.RedisError)
"""The errors after which the loop of a daemon continues. An unknown error may be temporary too."""
FAULTS = (exceptions.RedisError, OSError)
"""The exceptions of redis-py for a command. `classify` selects those that are outages."""
CONNECTION_FAULTS = (exceptions.ConnectionError, exceptions.TimeoutError, OSError)
CERTIFICATE_FAULT = re.compile(r"certificate verify failed: (.+?)\.? \(_ssl")
"""The reason that OpenSSL gives, within redis-py's text."""
PIPELINE_NOTE = re.compile(r"^Command # \d+ \(.*\) of pipeline caused error: ", re.DOTALL)
"""The prefix of redis-py for an error in a pipeline. It quotes the command, and so its text."""


class RedisState(NamedTuple):
    """A state in which Redis cannot serve.

    Args:
        code: the code of the error, or `no answer`.
        text: what Redis does, and what to do about it.
        moves: whether another server may have the data now, so that the address must be resolved again.
    """

    code: str
    text: str
    moves: bool = False


NO_ANSWER = RedisState("no answer", "does not answer")
STATES = {
    state.code: state
    for state in (
        RedisState("READONLY", "refuses writes: it is a replica", moves=True),
        RedisState("MASTERDOWN", "refuses writes: it is a replica without its primary", moves=True),
        RedisState("NOREPLICAS", "refuses writes: it has fewer replicas than min-replicas-to-write", moves=True),
        RedisState("MISCONF", "refuses writes: it cannot write to its disk. See its log", moves=True),
        RedisState("OOM", "refuses writes: its memory is full. Raise maxmemory; msgctl queue clean", moves=True),
        RedisState("UNBLOCKED", "ended a blocking command, as at a failover", moves=True),
        RedisState("LOADING", "loads its data and does not serve yet", moves=True),
        RedisState("BUSY", "runs a script that does not end. SCRIPT KILL ends it"),
        RedisState("TRYAGAIN", "moves its keys between nodes"),
        RedisState("CLUSTERDOWN", "is a Redis Cluster, which msgctl cannot use", moves=True),
        RedisState("MOVED", "is a Redis Cluster, which msgctl cannot use"),
        RedisState("ASK", "is a Redis Cluster, which msgctl cannot use"),
        RedisState("CROSSSLOT", "is a Redis Cluster, which msgctl cannot use"),
        RedisState("NOPERM", "forbids a command to this user. Compare the user with systemd/redis/users.acl"),
        RedisState("DENIED", "runs in protected mode. Set its bind and a password"),
        RedisState("EXECABORT", "discarded a transaction"),
        RedisState("UPSTREAM", "is a proxy that does not reach its server", moves=True),
    )
}
MOVING_STATES = frozenset(state.code for state in STATES.values() if state.moves)
CODES_OF_CLASSES: tuple[tuple[type[Exception], str], ...] = (
    (exceptions.ReadOnlyError, "READONLY"),
    (exceptions.OutOfMemoryError, "OOM"),
    (exceptions.MasterDownError, "MASTERDOWN"),  # before its base class ClusterDownError
    (exceptions.ClusterDownError, "CLUSTERDOWN"),
    (exceptions.BusyLoadingError, "LOADING"),
    (exceptions.TryAgainError, "TRYAGAIN"),
    (exceptions.MovedError, "MOVED"),  # before its base class AskError
    (exceptions.AskError, "ASK"),
    (exceptions.ClusterCrossSlotError, "CROSSSLOT"),
    (exceptions.NoPermissionError, "NOPERM"),
)
CODE_ANYWHERE = re.compile(rf"(?<![\w'\"`])({'|'.join(STATES)})(?= )")
"""An error code as Redis writes it. A code in quotation marks is an argument that Redis repeats."""
PHRASES = (
    (re.compile(r"The user executing the script can't|ACL failure in script"), "NOPERM"),
    (re.compile(r"Script killed by user"), "BUSY"),
    (re.compile(r"access a (?:non local key|slot not served)|non local key in a cluster"), "CLUSTERDOWN"),
    (re.compile(r"^(?:no upstream host|upstream (?:failure|protocol error|timeout))"), "UPSTREAM"),
)
"""Texts without a code: ACL and cluster faults inside scripts, and Envoy's Redis proxy."""


def classify(error: Exception) -> RedisState | None:
    """Return the state of Redis that an error tells of, or None if it is a fault of the command itself.

    Args:
        error: raised by redis-py, or an error reply among the answers of a pipeline.
    """
    if code := next((code for kind, code in CODES_OF_CLASSES if isinstance(error, kind)), ""):
        return STATES[code]
    if isinstance(error, CONNECTION_FAULTS):
        return NO_ANSWER
    if not isinstance(error, exceptions.ResponseError):
        return None
    text = strip_command(str(error))
    # An aborted transaction names its reason after its own code.
    codes = [found for found in CODE_ANYWHERE.findall(text) if found != "EXECABORT"]
    codes += [code for phrase, code in PHRASES if phrase.search(text)]
    if codes:
        return STATES[codes[0]]
    aborted = isinstance(error, exceptions.ExecAbortError) or "EXECABORT" in text
    return STATES["EXECABORT"] if aborted else None


def strip_command(text: str) -> str:
    """Return the text of an error without the command that redis-py quotes before it."""
    return PIPELINE_NOTE.sub("", text)


def as_unavailable(error: Exception, address: str) -> RedisUnavailable | None:
    """Return the error callers should see for an outage; None if `error` is a fault of the command itself.

    Args:
        error: raised by redis-py.
        address: where Redis is.
    """
    state = classify(error)
    if state is None:
        return None
    if state is NO_ANSWER:
        return no_answer(error, address)
    told = strip_command(str(error)).removeprefix(f"{state.code} ")
    return RedisUnavailable(f"Redis at {address} {state.text} ({state.code}: {told})", state=state.code)


@contextmanager
def outages_translated(address: str) -> Iterator[None]:
    """Translate the outages of another client than `RedisClient`, such as the blocking one that RQ's code uses.

    Args:
        address: where Redis is.

    Raises:
        RedisUnavailable: Redis did not answer, or refused a command because of its state.
    """
    try:
        yield
    except FAULTS as error:
        if unavailable := as_unavailable(error, address):
            raise unavailable from error
        raise


def no_answer(error: Exception, address: str) -> RedisUnavailable:
    """Return the error of a Redis that could not be talked to.

    Args:
        error: what happened instead.
        address: where Redis is.
    """
    return RedisUnavailable(f"Redis at {address} {_explain(error)}", state=NO_ANSWER.code)


def _explain(error: Exception) -> str:
    """Say what failed and what to do; redis-py reports a refused login or certificate as a lost connection too."""
    if isinstance(error, exceptions.AuthenticationError):
        return "wants a login, or refuses the one given. Set [redis] username and password, or REDIS_PASSWORD."
    if found := CERTIFICATE_FAULT.search(str(error)):
        remedy = "Set [redis] tls_ca, and host as the certificate names it."
        return f"shows a certificate that is not taken: {found[1]}. {remedy}"
    if "Invalid Database" in str(error):
        return "has no database of this number, as in a Redis Cluster. Set [redis] database to 0."
    return (
        f"does not answer ({type(error).__name__}). "
        "Is it running? Set [redis] host and port, or REDIS_HOST and REDIS_PORT."
    )
