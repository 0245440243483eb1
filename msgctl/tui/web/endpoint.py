"""The endpoint of the web dashboard: its address, its token, and the command that it runs."""

import ipaddress
import secrets
import shlex
import sys
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

TOKEN_COOKIE = "msgctl_dash"  # noqa: S105 - the name of a cookie


class WebEndpoint(NamedTuple):
    """An address and its token."""

    host: str
    port: int
    token: str
    """The token that a browser must present once. Empty admits every user of this machine."""

    @property
    def url(self) -> str:
        """Return the URL without the token."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def login_url(self) -> str:
        """Return the URL to open in a browser."""
        return f"{self.url}/?token={self.token}" if self.token else f"{self.url}/"

    def matches_token(self, token: str | None) -> bool:
        """Return whether a token is correct, in constant time."""
        return secrets.compare_digest((token or "").encode(), self.token.encode())

    def is_own_host(self, host: str) -> bool:
        """Return whether a Host header names this endpoint. On loopback, another name indicates DNS rebinding."""
        name = urlsplit(f"//{host}").hostname or ""
        return not is_loopback(self.host) or name == "localhost" or is_loopback(name)


def is_loopback(host: str) -> bool:
    """Return whether an address is a loopback address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def dashboard_command(config: Path | None, flags: list[str]) -> str:
    """Return the shell command of one dashboard.

    Args:
        config: the configuration file, if one was given.
        flags: options of `msgctl dash`.
    """
    words = [sys.executable, "-m", "msgctl", *([f"--config={config.resolve()}"] if config else []), "dash", *flags]
    return shlex.join(words)
