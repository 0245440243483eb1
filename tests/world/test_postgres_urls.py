"""Connection URLs of PostgreSQL as other tools write them. A fault is named, and no error shows a password."""

from collections.abc import Callable

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from msgctl.config.postgres_url import PARAMETERS, find_fault
from msgctl.config.settings import Settings
from msgctl.config.sources import load
from msgctl.domain.errors import ConfigurationError, MsgctlError, PostgresUnavailable
from msgctl.storage.postgres.database import connection_string, describe_postgres, translate_postgres_errors
from tests.support.command_line import Invoke

ADDRESS = "127.0.0.1:1/db"
REFUSED = [
    ("Prisma: a schema", f"postgresql://ana:zq1@{ADDRESS}?schema=public", "schema"),
    ("Prisma: PgBouncer", f"postgresql://ana:zq1@{ADDRESS}?pgbouncer=true&connection_limit=1", "pgbouncer"),
    ("SQLAlchemy: asyncpg", f"postgresql+asyncpg://ana:zq1@{ADDRESS}", "postgresql+asyncpg"),
    ("SQLAlchemy: psycopg2", f"postgresql+psycopg2://ana:zq1@{ADDRESS}", "postgresql+psycopg2"),
    ("JDBC", f"jdbc:postgresql://{ADDRESS}?user=ana&password=zq1", "JDBC"),
    ("another database", f"mysql://ana:zq1@{ADDRESS}", "mysql"),
    ("quotation marks", f'"postgresql://ana:zq1@{ADDRESS}"', "quotation mark"),
    ("a space before it", f" postgresql://ana:zq1@{ADDRESS}", "space"),
    ("a slash in the password", f"postgresql://ana:zq1/zq2@{ADDRESS}", "%2F"),
    ("an at sign in the password", f"postgresql://ana:zq1@zq2@{ADDRESS}", "%40"),
    ("several of them", f"postgresql://ana:zq1@zq2/zq3@{ADDRESS}", "%2F"),
    ("a slash at its beginning", f"postgresql://ana:/zq1@{ADDRESS}", "%2F"),
    ("a question mark and a slash", f"postgresql://ana:zq1?zq2/zq3@{ADDRESS}", "%2F"),
    ("an at sign and a question mark", f"postgresql://ana:zq1@zq2?zq3@{ADDRESS}", "%3F"),
    ("a percent sign", f"postgresql://ana:zq1%zq2@{ADDRESS}", "%25"),
    ("a slash in the user", f"postgresql://a/na:zq1@{ADDRESS}", "%2F"),
    ("no host after a password without @", "postgresql://ana:zq1", "port"),
    ("a port that is none", "postgresql://ana:zq1@127.0.0.1:zq2/db", "port"),
    ("something after the question mark", f"postgresql://ana:zq1@{ADDRESS}?zq2", "%3F"),
    ("no URL at all", "zq1", "postgresql://user:password@"),
    ("a login alone", "zq1:zq2", "postgresql://user:password@"),
]
TAKEN = [
    f"postgres://ana:zq1@{ADDRESS}",
    f"postgresql://ana:zq1#zq2@{ADDRESS}",
    f"postgresql://ana:zq1:zq2@{ADDRESS}",
    f"postgresql://ana:zq1?zq2@{ADDRESS}",
    f"postgresql://ana:zq1%2Fzq2%40zq3%25%23@{ADDRESS}",
    f"postgresql://ana:zq1@{ADDRESS}?sslmode=disable&application_name=a@b/c",
    "postgresql://localhost/msgctl",
    "postgresql:///db?host=/run/postgresql",
    "postgresql://%2Frun%2Fpostgresql/db",
    "postgresql://ana@h1:1,[::1]:2,h3/db?target_session_attrs=read-write",
    "host=127.0.0.1 port=1 dbname=db user=ana password=zq1",
]


def shows_secret(text: str) -> bool:
    """Whether a text shows a part of a password of these tables."""
    return any(part in text for part in ("zq1", "zq2", "zq3"))


@pytest.mark.parametrize(("url", "named"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_url_of_another_tool_is_refused_by_name(url: str, named: str) -> None:
    """`config check` and each daemon refuse it, say what is wrong, and show no part of the password."""
    with pytest.raises(ConfigurationError) as refused:
        load(environ={"MSGCTL_POSTGRES_URL": url})
    assert "postgres.url" in refused.value.message
    assert named in refused.value.message
    assert not shows_secret(refused.value.message)


@pytest.mark.parametrize("describe", [connection_string, describe_postgres], ids=["connect", "describe"])
@pytest.mark.parametrize("url", [row[1] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_unchecked_url_shows_no_secret_either(
    settings: Settings, url: str, describe: Callable[[Settings], str]
) -> None:
    """Settings that a program made itself are checked again before they are used."""
    unchecked = settings.postgres.model_copy(update={"url": SecretStr(url)})
    with pytest.raises(ConfigurationError) as refused:
        describe(settings.model_copy(update={"postgres": unchecked}))
    assert not shows_secret(refused.value.message)


@pytest.mark.parametrize("url", TAKEN)
def test_url_that_libpq_reads_is_taken(settings: Settings, url: str) -> None:
    """Libpq reads it in the intended way, and an outage shows no part of the password."""
    taken = load(environ={"MSGCTL_POSTGRES_URL": url}).settings
    parts = conninfo_to_dict(connection_string(taken))
    assert parts.get("user", "ana") == "ana"
    assert not shows_secret(describe_postgres(taken))
    with pytest.raises(PostgresUnavailable) as outage, translate_postgres_errors(taken):
        raise psycopg.OperationalError(f"a library quotes {parts.get('password', '')}")
    assert not shows_secret(outage.value.message)


def test_every_parameter_of_this_libpq_is_known() -> None:
    """A parameter that the installed libpq takes is not refused."""
    known = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()}
    assert known <= PARAMETERS
    assert all(find_fault(f"postgresql://h/d?{name}=1") == "" for name in known)


@pytest.mark.parametrize("password", ["zq1/zq2", "zq1@zq2", "zq1/zq2@zq3"])
@pytest.mark.parametrize("words", [("db", "status"), ("doctor",), ("config", "show"), ("config", "check")])
async def test_no_command_shows_a_misread_password(msgctl: Invoke, password: str, words: tuple[str, ...]) -> None:
    """The text says to encode the password, and nothing that is printed shows it."""
    url = f"postgresql://ana:{password}@{ADDRESS}"
    outcome = await msgctl(*words, environ={"MSGCTL_POSTGRES_URL": url})
    assert outcome.code == 78
    assert "encode" in outcome.stderr
    assert not shows_secret(outcome.stdout + outcome.stderr)


def test_fault_is_an_error_of_the_product() -> None:
    """A caller that catches `MsgctlError` catches it."""
    assert issubclass(ConfigurationError, MsgctlError)
