"""The webhook path of an agent: what stands behind `/webhook/` in n8n, also when a whole URL was pasted."""

import re
from typing import NoReturn
from urllib.parse import SplitResult, urlsplit

from msgctl.domain.errors import InvalidInput

WEBHOOK_PATH_PATTERN = re.compile(r"[A-Za-z0-9_.~-]+(/[A-Za-z0-9_.~-]+)*")
PREFIXES = ("webhook/", "webhook-test/")
"""The prefixes of n8n's production and test URLs. Both lead to the same node, at the same path."""
OTHER_PREFIXES = ("webhook-waiting/", "form/", "form-test/", "form-waiting/", "mcp/", "mcp-test/")
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0"})  # noqa: S104 - a name to compare
EXAMPLE = "support/chat"


def check_webhook_path(path: str) -> str:
    """Return a path that stays below n8n's `/webhook/`.

    Raises:
        InvalidInput: it is empty, begins with a slash, contains `..`, or holds a scheme, a host, or a query.
    """
    if len(path) > 255 or not WEBHOOK_PATH_PATTERN.fullmatch(path) or {".", ".."} & set(path.split("/")):
        _refuse(f"must be what stands behind /webhook/ in n8n, e.g. {EXAMPLE} (letters, digits, - _ . ~ /)")
    return path


def read_webhook_path(text: str, base_url: str) -> str:
    """Return the webhook path that a person means by a path or a URL of n8n.

    One prefix `webhook/` or `webhook-test/` is removed. A path that begins with `webhook/` in n8n itself is
    therefore written `webhook/webhook/…`.

    Args:
        text: the path, with or without the prefix, or the URL that n8n shows.
        base_url: `n8n.base_url`, which the URL must lead to.

    Raises:
        InvalidInput: it is no path, or a URL of another host or of something else than a webhook.
    """
    text = text.strip()
    url = _split_url(text)
    path = _path_below(url, base_url) if url else text.removeprefix("/")
    if path.startswith(OTHER_PREFIXES):
        _refuse(
            f"must be that of a Webhook or Chat Trigger node, not of {path.partition('/')[0]}/: e.g. {EXAMPLE}"
        )
    prefix = next((prefix for prefix in PREFIXES if path.startswith(prefix)), "")
    if url and not prefix:
        _refuse(f"must be what stands behind /webhook/ in the Production URL of the node, e.g. {EXAMPLE}")
    path = check_webhook_path(path.removeprefix(prefix).removesuffix("/") if prefix else text)
    if url and not _is_same_host(url.hostname, urlsplit(base_url).hostname):
        _refuse(
            f"is on the host {url.hostname}, and n8n.base_url is on {urlsplit(base_url).hostname}: if both are the"
            f" same n8n, give the path alone, {path}; if not, set n8n.base_url"
        )
    return path


def _split_url(text: str) -> SplitResult | None:
    if "://" not in text:
        return None
    try:
        url = urlsplit(text)
    except ValueError:
        url = SplitResult("", "", "", "", "")
    if url.scheme.lower() not in {"http", "https"} or not url.hostname or "@" in url.netloc:
        _refuse(f"must be what stands behind /webhook/ in n8n, e.g. {EXAMPLE}, or the URL that n8n shows")
    if url.query or url.fragment:
        _refuse(f"must have no query and no fragment: msgctl sends everything in the body; e.g. {EXAMPLE}")
    return url


def _path_below(url: SplitResult, base_url: str) -> str:
    """Return the path of a URL below that of the base URL, if it is below it."""
    base = urlsplit(base_url).path.strip("/")
    path = url.path.lstrip("/")
    return path.removeprefix(f"{base}/") if base else path


def _is_same_host(host: str | None, configured: str | None) -> bool:
    """Whether two hosts are one, whatever scheme and port a proxy gives it."""
    return host == configured or {host, configured} <= LOOPBACK_NAMES


def _refuse(problem: str) -> NoReturn:
    raise InvalidInput(f"The webhook path {problem}.", details=[{"field": "webhookPath", "problem": problem}])
