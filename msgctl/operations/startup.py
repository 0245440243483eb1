"""The settings that a daemon refuses at its start, checked by the daemons and by `msgctl config check` alike.

Whether the hosts that the settings name can be reached is a question for `msgctl doctor`.
"""

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum

from msgctl.config.identities import find_identity_problems
from msgctl.config.settings import Settings
from msgctl.domain.errors import ConfigurationError


class DaemonKind(StrEnum):
    """A daemon whose settings are checked."""

    GATEWAY = "gateway"
    WORKER = "worker"
    SUBSCRIBER = "subscriber"


def check_startup(settings: Settings, *daemons: str) -> None:
    """Check the settings as these daemons do; all of them if none is named.

    Raises:
        ConfigurationError: lists everything that one of them refuses, without any secret.
    """
    problems = {problem: None for daemon in daemons or DaemonKind for problem in find_problems(settings, daemon)}
    if problems:
        raise ConfigurationError(" ".join(problems))


def find_problems(settings: Settings, daemon: str) -> Iterator[str]:
    """Yield one sentence for each thing that a daemon refuses."""
    if daemon != DaemonKind.WORKER:
        yield from (f"{problem}." for problem in find_identity_problems(settings))
    for check in CHECKS[DaemonKind(daemon)]:
        try:
            check(settings)
        except ConfigurationError as error:
            yield error.message


def _check_tokens(settings: Settings) -> None:
    from msgctl.auth.tokens import Verifier  # noqa: PLC0415 - cryptography takes 0.1 s, and commands import this

    Verifier(settings)


def _check_n8n(settings: Settings) -> None:
    from msgctl.processing.n8n import WorkflowClient  # noqa: PLC0415 - as above

    WorkflowClient(settings)


def _check_database(settings: Settings) -> None:
    from msgctl.storage.postgres.database import connection_string  # noqa: PLC0415 - psycopg takes 0.1 s

    connection_string(settings)


def _check_ledger_copy(settings: Settings) -> None:
    if settings.events.project:
        _check_database(settings)


CHECKS: Mapping[DaemonKind, tuple[Callable[[Settings], None], ...]] = {
    DaemonKind.GATEWAY: (_check_tokens, _check_database),
    DaemonKind.WORKER: (_check_n8n, _check_database),
    DaemonKind.SUBSCRIBER: (_check_ledger_copy,),
}
"""What each daemon sets up at its start; each check raises `ConfigurationError` for what the daemon refuses."""
