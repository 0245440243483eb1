"""Where the browser's dashboard listens, whom it lets in, and what it runs."""

import ipaddress
import secrets
import shlex
import sys
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

TOKEN_COOKIE = "msgctl_dash"  # noqa: S105 - the name of a cookie


class WebEndpoint(NamedTuple):
    """An address and its key."""

    host: str
    port: int
    token: str
    """What a browser must show once; empty: everybody of this machine may look."""

    @property
    def url(self) -> str:
        """The address without the token."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def login_url(self) -> str:
        """The address to open in a browser."""
        return f"{self.url}/?token={self.token}" if self.token else f"{self.url}/"

    def matches_token(self, token: str | None) -> bool:
        """Whether this is the token; it takes the same time for every wrong one."""
        return secrets.compare_digest((token or "").encode(), self.token.encode())

    def is_own_host(self, host: str) -> bool:
        """Whether a Host header names this place; on loopback another name is a trick with DNS."""
        name = urlsplit(f"//{host}").hostname or ""
        return not is_loopback(self.host) or name == "localhost" or is_loopback(name)


def is_loopback(host: str) -> bool:
    """Whether an address is this machine's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def dashboard_command(config: Path | None, flags: list[str]) -> str:
    """The shell's command for one dashboard.

    Args:
        config: the configuration file, if one was named.
        flags: of `msgctl dash`.
    """
    words = [sys.executable, "-m", "msgctl", *([f"--config={config.resolve()}"] if config else []), "dash", *flags]
    return shlex.join(words)
