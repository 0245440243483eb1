"""Every state of Redis is known by its class and by its code: in replies of all versions, scripts, pipelines."""

import pytest
from redis import exceptions
from redis._parsers.base import BaseParser

from msgctl.domain.errors import RedisUnavailable
from msgctl.storage.redis.faults import as_unavailable, classify, outages_translated

SHA = "756928dd1246249109cfe8475bfa267e967ea948"
IN_SCRIPT_OF_6_2 = f"ERR Error running script (call to f_{SHA}): @user_script:7: @user_script: 7: "
IN_SCRIPT_OF_7 = f" script: {SHA}, on @user_script:1."
IN_SCRIPT_OF_VALKEY_9 = " script: on @user_script:1."

REPLIES = {
    "READONLY": "READONLY You can't write against a read only replica.",
    "OOM": "OOM command not allowed when used memory > 'maxmemory'.",
    "MISCONF": "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist.",
    "NOREPLICAS": "NOREPLICAS Not enough good replicas to write.",
    "MASTERDOWN": "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "LOADING": "LOADING Redis is loading the dataset in memory",
    "BUSY": "BUSY Valkey is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "TRYAGAIN": "TRYAGAIN Multiple keys request during rehashing of slot",
    "CLUSTERDOWN": "CLUSTERDOWN Hash slot not served",
    "MOVED": "MOVED 3999 127.0.0.1:6381",
    "ASK": "ASK 3999 127.0.0.1:6381",
    "CROSSSLOT": "CROSSSLOT Keys in request don't hash to the same slot",
    "NOPERM": "NOPERM User default has no permissions to run the 'set' command",
    "UNBLOCKED": "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
    "DENIED": "DENIED Redis is running in protected mode because protected mode is enabled",
    "EXECABORT": "EXECABORT Transaction discarded because of previous errors.",
}
"""What each state says outside a script."""

OTHER_LINES = [
    ("MISCONF", "MISCONF Errors writing to the AOF file: No space left on device"),
    ("UNBLOCKED", "UNBLOCKED client unblocked via CLIENT UNBLOCK"),
    ("BUSY", f"{IN_SCRIPT_OF_6_2.partition(': @')[0]}: @user_script:1: Script killed by user with SCRIPT KILL..."),
    ("BUSY", f"ERR Script killed by user with SCRIPT KILL.{IN_SCRIPT_OF_VALKEY_9}"),
    ("NOPERM", f"{IN_SCRIPT_OF_6_2}The user executing the script can't run this command or subcommand"),
    ("NOPERM", f"ERR The user executing the script can't access at least one of the keys{IN_SCRIPT_OF_7}"),
    ("NOPERM", f"ERR ACL failure in script: No permissions to access a key{IN_SCRIPT_OF_7}"),
    ("CLUSTERDOWN", f"{IN_SCRIPT_OF_6_2}Lua script attempted to access a non local key in a cluster node"),
    ("CLUSTERDOWN", f"ERR Script attempted to access a slot not served{IN_SCRIPT_OF_7}"),
    (
        "READONLY",
        "EXECABORT Transaction discarded because of: READONLY You can't write against a read only replica.",
    ),
    ("NOREPLICAS", "EXECABORT Transaction discarded because of: NOREPLICAS Not enough good replicas to write."),
    ("BUSY", "EXECABORT Transaction discarded because of: BUSY Redis is busy running a script."),
    ("UPSTREAM", "no upstream host"),
    ("UPSTREAM", "upstream failure"),
    ("no answer", "ERR max number of clients reached"),
    ("no answer", "NOAUTH Authentication required."),
    ("no answer", "WRONGPASS invalid username-password pair or user is disabled."),
]

FAULTS_OF_COMMANDS = [
    "WRONGTYPE Operation against a key holding the wrong kind of value",
    "NOSCRIPT No matching script. Please use EVAL.",
    "BUSYGROUP Consumer Group name already exists",
    "BUSYKEY Target key name already exists.",
    "NOGROUP No such key 'msgctl:responses' or consumer group",
    "ERR syntax error",
    "ERR unknown command 'OOM ', with args beginning with: 'READONLY ' 'BUSY '",
    "ERR unknown command `MISCONF `, with args beginning with: `LOADING `, ",
    f"{IN_SCRIPT_OF_6_2}WRONGTYPE Operation against a key holding the wrong kind of value",
    "NOTBUSY No scripts in execution right now.",
]

REDIRECTIONS = ("MOVED", "ASK")
"""Replies that redis-py reads in their exact form only."""


def parse(line: str) -> Exception:
    """Return the error that redis-py makes of an error reply."""
    error: Exception = BaseParser.parse_error(line)  # type: ignore[no-untyped-call]
    return error


def in_pipeline(error: Exception) -> Exception:
    """Return the error as redis-py changes it when it was raised within a pipeline."""
    error.args = (f"Command # 1 (SET secret OOM ) of pipeline caused error: {error.args[0]}", *error.args[1:])
    return error


LINES = [
    *REPLIES.items(),
    *((code, f"{IN_SCRIPT_OF_6_2}-{line}") for code, line in REPLIES.items()),
    *((code, line + IN_SCRIPT_OF_7) for code, line in REPLIES.items() if code not in REDIRECTIONS),
    *((code, line + IN_SCRIPT_OF_VALKEY_9) for code, line in REPLIES.items() if code not in REDIRECTIONS),
    *OTHER_LINES,
]


@pytest.mark.parametrize(("code", "line"), LINES)
def test_state_is_known_by_class_and_by_code(code: str, line: str) -> None:
    """Alone, in a script, and in a pipeline, a reply is the same `RedisUnavailable` and names its state."""
    for error in (parse(line), in_pipeline(parse(line))):
        state = classify(error)
        assert state, error
        assert state.code == code
        with pytest.raises(RedisUnavailable) as caught, outages_translated("redis://r"):
            raise error
        assert caught.value.state == code
        assert caught.value.message.startswith("Redis at redis://r ")
        assert "secret" not in caught.value.message


@pytest.mark.parametrize("line", FAULTS_OF_COMMANDS)
def test_fault_of_a_command_is_no_state(line: str) -> None:
    """Callers tell these by redis-py's types; a word that looks like a code within an argument changes nothing."""
    for error in (parse(line), in_pipeline(parse(line))):
        assert classify(error) is None
        assert as_unavailable(error, "redis://r") is None


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("READONLY", exceptions.ReadOnlyError("")),
        ("OOM", exceptions.OutOfMemoryError("")),
        ("MASTERDOWN", exceptions.MasterDownError("")),
        ("CLUSTERDOWN", exceptions.ClusterDownError("")),
        ("LOADING", exceptions.BusyLoadingError()),
        ("TRYAGAIN", exceptions.TryAgainError()),
        ("MOVED", exceptions.MovedError("1 127.0.0.1:2")),
        ("CROSSSLOT", exceptions.ClusterCrossSlotError()),
        ("NOPERM", exceptions.NoPermissionError()),
        ("EXECABORT", exceptions.ExecAbortError()),
        ("no answer", exceptions.ConnectionError()),
        ("no answer", exceptions.TimeoutError()),
        ("no answer", TimeoutError()),
        ("no answer", ConnectionResetError()),
    ],
)
def test_class_alone_tells_the_state(code: str, error: Exception) -> None:
    """An error without a text is known too."""
    state = classify(error)
    assert state
    assert state.code == code
