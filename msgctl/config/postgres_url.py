"""The form of PostgreSQL's connection URL. A fault never quotes the URL, since a misread one shows a password."""

import re
from collections.abc import Iterator
from typing import Annotated

from pydantic import AfterValidator, SecretStr

EXAMPLE = "postgresql://user:password@host:5432/database"
SCHEMES = frozenset({"postgresql", "postgres"})
SCHEME_REGEX = re.compile(r"\s*['\"]?(jdbc:|)([A-Za-z][A-Za-z0-9+.-]{0,40})://", re.IGNORECASE)
PARAMETER_REGEX = re.compile(r"[A-Za-z_]{1,40}")
BAD_PERCENT_REGEX = re.compile(r"%(?![0-9A-Fa-f]{2})")
PARAMETERS = frozenset(
    {"application_name", "authtype", "channel_binding", "client_encoding", "connect_timeout", "dbname"}
    | {"fallback_application_name", "gssdelegation", "gssencmode", "gsslib", "host", "hostaddr", "keepalives"}
    | {"keepalives_count", "keepalives_idle", "keepalives_interval", "krbsrvname", "load_balance_hosts"}
    | {"max_protocol_version", "min_protocol_version", "oauth_client_id", "oauth_client_secret", "oauth_issuer"}
    | {"oauth_scope", "options", "passfile", "password", "port", "replication", "require_auth", "requirepeer"}
    | {"requiressl", "scram_client_key", "scram_server_key", "service", "servicefile", "ssl", "sslcert"}
    | {"sslcertmode", "sslcompression", "sslcrl", "sslcrldir", "sslkey", "sslkeylogfile", "sslmode"}
    | {"sslnegotiation", "sslpassword", "sslrootcert", "sslsni", "target_session_attrs", "tcp_user_timeout"}
    | {"user", "ssl_max_protocol_version", "ssl_min_protocol_version"}
)
"""The parameters of libpq 18, https://www.postgresql.org/docs/18/libpq-connect.html#LIBPQ-PARAMKEYWORDS."""


def find_fault(url: str) -> str:
    """Return what is wrong with a connection URL, in words that quote no part of it that could be a secret.

    `key=value` connection strings are left to libpq. The text is empty if nothing is wrong.
    """
    if url.strip(" '\"") != url:
        return "has a space or a quotation mark around it: delete it"
    scheme = SCHEME_REGEX.match(url)
    if scheme is None:
        return "" if re.match(r"\w+\s*=", url) else f"must look like {EXAMPLE}"
    return next(_faults(scheme[1], scheme[2], url), "")


def _check_setting(secret: SecretStr) -> SecretStr:
    """Return the setting `postgres.url`.

    Raises:
        ValueError: it cannot be a connection URL.
    """
    if fault := find_fault(secret.get_secret_value()):
        raise ValueError(fault)
    return secret


PostgresUrl = Annotated[SecretStr, AfterValidator(_check_setting)]


def _faults(prefix: str, scheme: str, url: str) -> Iterator[str]:
    if prefix:
        yield f"is a URL of JDBC (jdbc:): msgctl takes the form {EXAMPLE}, with user and password before the host"
    name, _, driver = scheme.lower().partition("+")
    if name not in SCHEMES:
        yield f"is a URL of {scheme}, not of PostgreSQL: it must look like {EXAMPLE}"
    if driver:
        yield f"names a driver, {scheme}: write postgresql:// without +{driver}"
    rest = url.partition("://")[2]
    login, at, address = rest.partition("@")
    if not at:
        login, address = "", rest
    if "/" in login or "@" in address.partition("?")[0]:
        yield (
            "cannot be read, because its user or password holds / or @: percent-encode them there, / as %2F, "
            "@ as %40, : as %3A, # as %23, % as %25"
        )
    if BAD_PERCENT_REGEX.search(rest):
        yield "holds a % that encodes nothing: a % in the password is written %25"
    yield from _address_faults(address)


def _address_faults(address: str) -> Iterator[str]:
    """Yield the faults of the part after the login: `host:port,…/database?name=value&…`."""
    place, _, query = address.partition("?")
    for host in place.partition("/")[0].split(","):
        port = host.rpartition("]")[2].partition(":")[2]
        if port and not (port.isascii() and port.isdigit() and 0 < int(port) <= 65_535):
            yield "has a port that is not a number from 1 to 65535; special characters of a password are encoded"
    for parameter in query.split("&") if query else ():
        name, equals, _ = parameter.partition("=")
        if equals and PARAMETER_REGEX.fullmatch(name) and name not in PARAMETERS:
            yield f"has the parameter {name}, which PostgreSQL's own client does not know: delete it"
        if not equals or name not in PARAMETERS:
            yield "has something after its ? that is not a parameter; a ? in the password is written %3F"
