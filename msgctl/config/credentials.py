"""The form of credentials that msgctl sends in HTTP headers. A fault names the setting and never its value."""

import re
from typing import Annotated, Protocol
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr

HEADER_NAME_REGEX = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A token of RFC 9110 §5.6.2."""
OWN_HEADERS = frozenset(
    {"accept", "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "expect"}
    | {"host", "idempotency-key", "te", "trailer", "traceparent", "transfer-encoding", "upgrade", "user-agent"}
    | {"x-message-id"}
)
"""Headers that msgctl or HTTP itself sets. They cannot carry a credential."""
BEARER_PREFIX = "bearer "


class N8nCredentials(Protocol):
    """The settings of n8n that become headers."""

    @property
    def base_url(self) -> str: ...  # noqa: D102 - each is described in `N8nSettings`
    @property
    def api_key(self) -> SecretStr: ...  # noqa: D102
    @property
    def header_name(self) -> str: ...  # noqa: D102
    @property
    def header_value(self) -> SecretStr: ...  # noqa: D102
    @property
    def bearer_token(self) -> SecretStr: ...  # noqa: D102
    @property
    def username(self) -> str: ...  # noqa: D102
    @property
    def password(self) -> SecretStr: ...  # noqa: D102


def _check_header_name(name: str) -> str:
    """Return the name of a header.

    Raises:
        ValueError: it is not a name, or msgctl sets that header itself.
    """
    if name and not HEADER_NAME_REGEX.fullmatch(name):
        raise ValueError("must be the name of a header, e.g. X-API-Key, without a colon")
    if name.lower() in OWN_HEADERS:
        raise ValueError(f"must not be {name}: msgctl sets this header itself")
    return name


def _check_header_secret(secret: SecretStr) -> SecretStr:
    """Return a secret that a header can carry.

    Raises:
        ValueError: it has other characters, or begins or ends with a space, which HTTP would remove.
    """
    value = secret.get_secret_value()
    if value and not (value.isascii() and value.isprintable()):
        raise ValueError("has characters that a header must not have: use printable ASCII only")
    if value != value.strip():
        raise ValueError("begins or ends with a space, which HTTP removes: delete it here and in the credential")
    return secret


def _check_bearer_token(secret: SecretStr) -> SecretStr:
    """Return a token without the scheme before it.

    Raises:
        ValueError: it has characters that a token must not have.
    """
    value = secret.get_secret_value()
    if value.lower().startswith(BEARER_PREFIX):
        value = value[len(BEARER_PREFIX) :].strip()
    if " " in value:
        raise ValueError("must be one token without spaces")
    return _check_header_secret(SecretStr(value))


def _check_username(name: str) -> str:
    """Return a user name of Basic Auth (RFC 7617).

    Raises:
        ValueError: it has a colon, which would end it, or a control character.
    """
    if ":" in name or not name.isprintable():
        raise ValueError("must not have a colon or a control character")
    return name


HeaderName = Annotated[str, AfterValidator(_check_header_name)]
HeaderSecret = Annotated[SecretStr, AfterValidator(_check_header_secret)]
BearerToken = Annotated[SecretStr, AfterValidator(_check_bearer_token)]
BasicUsername = Annotated[str, AfterValidator(_check_username)]


def check_base_url(url: str) -> str:
    """Return the base URL of n8n, which may hold `user:password@`.

    Raises:
        ValueError: it has no host or no valid port. Often a password holds `/` or `@` that is not encoded.
    """
    try:
        parts = urlsplit(url)
        is_valid = bool(parts.hostname) and (parts.port is None or parts.port > 0)
        is_valid = is_valid and url.count("@") <= 1 and "@" not in parts.path
    except ValueError:
        is_valid = False
    if not is_valid:
        raise ValueError(
            "must be http://HOST:PORT or https://HOST; percent-encode a user and a password in it, or set them as "
            "n8n.username and n8n.password"
        )
    return url


def check_single_authorization(n8n: N8nCredentials) -> None:
    """Check that no two credentials want the same header, and that none lacks its other half.

    Raises:
        ValueError: they do.
    """
    if bool(n8n.header_name) != bool(n8n.header_value.get_secret_value()):
        raise ValueError("header_name and header_value need each other")
    if n8n.password.get_secret_value() and not n8n.username:
        raise ValueError("password needs username")
    if n8n.header_name.lower() == "x-api-key" and n8n.api_key.get_secret_value():
        raise ValueError("header_name is X-API-Key, which api_key sets too: set one of them")
    wanting = {
        "header_name": n8n.header_name.lower() == "authorization",
        "bearer_token": bool(n8n.bearer_token.get_secret_value()),
        "username": bool(n8n.username),
        "a user in base_url": "@" in urlsplit(n8n.base_url).netloc,
    }
    if sum(wanting.values()) > 1:
        names = " and ".join(name for name, is_set in wanting.items() if is_set)
        raise ValueError(f"{names} set the same header Authorization: set one of them")
