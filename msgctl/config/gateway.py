"""The settings of the gateway: its address, authentication, and limits."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr

from msgctl.config.base import Count, Seconds, Section

OptionalLimit = Annotated[int, Field(ge=0, le=10_000_000)]
DEFAULT_PORTS = {"http": "80", "https": "443"}
SCHEMES_WITHOUT_PAGES = frozenset({"data", "file", "ftp", "ftps", "javascript", "ws", "wss"})
"""Schemes that browsers never send in `Origin` together with a host."""


def _normalize_origin(origin: str) -> str:
    """Return an origin as browsers send it: in lower case and without the default port of its scheme.

    Raises:
        ValueError: no page has such an origin.
    """
    scheme, separator, host = origin.lower().partition("://")
    if scheme in SCHEMES_WITHOUT_PAGES and host:
        raise ValueError("must be the origin of a page, e.g. https://chat.example.com or capacitor://localhost")
    return f"{scheme}{separator}{host.removesuffix(f':{DEFAULT_PORTS.get(scheme)}')}"


AllowedOrigin = Annotated[
    str,
    Field(pattern=r"^(\*|null|file://|[A-Za-z][A-Za-z0-9+.-]*://[^/\s,@?#*]+)$"),
    AfterValidator(_normalize_origin),
]
TierSpec = Annotated[str, Field(pattern=r"^[\w-]+:[1-9][0-9]{0,3}:[0-9]$")]


class GatewaySettings(Section):
    """The HTTP and WebSocket interface."""

    host: str = "0.0.0.0"  # noqa: S104 - the contract's default: clients on other hosts must reach a gateway
    """The address to listen on."""
    port: int = Field(3000, ge=0, le=65535)
    """The port to listen on. 0: any free port."""
    locale: Literal["pt-BR", "en"] = "pt-BR"
    """The language of texts for people. Fields and codes do not depend on it."""
    socket_ttl: Seconds = 30.0
    """Seconds without a sign of life after which the sockets of a gateway count as gone."""
    max_body: Annotated[int, Field(ge=1024, le=1_048_576)] = 65_536
    """The largest request body or WebSocket frame, in bytes."""
    max_reply_frame: Annotated[int, Field(ge=16_384, le=67_108_864)] = 1_048_576
    """The largest frame with a reply, in bytes. A longer text is cut or refused as `[reply] overflow` says.
    Clients must accept frames of this size: many close the socket (1009) above 1 MiB."""
    max_queued_frames: Count = 256
    """Frames that may wait for a slow client before its socket is closed (4408)."""
    send_timeout: Seconds = 5.0
    """Seconds that writing one frame may take before the socket is closed (4408)."""
    origins: list[AllowedOrigin] = Field([])
    """Other origins whose web pages may use this gateway from a browser, each written as
    `https://chat.example.com`, or for the web view of an app `capacitor://localhost`. `*`: any page. `null` and
    `file://` admit every sandboxed frame and every local file. Clients that send no `Origin` (servers, command
    lines, apps) are not affected."""
    trusted_proxies: list[str] = Field([])
    """Addresses or networks of the proxies whose X-Forwarded-For is trusted to name the client's address."""


class AuthSettings(Section):
    """Authentication of clients."""

    algorithm: Literal["HS256", "RS256", "ES256", "EdDSA"] = "HS256"
    """The algorithm with which tokens are signed. A token that names another one is rejected."""
    jwt_secret: SecretStr = SecretStr("")
    """HS256: the shared secret, 32 bytes or more."""
    public_key: str = ""
    """RS256, ES256, EdDSA: the public key in PEM."""
    jwks_url: str = Field("", pattern=r"^$|^https?://[^\s?#]+$")
    """RS256, ES256, EdDSA: the URL of the published keys (JWKS), instead of `public_key`. A URL inside a token is
    never used."""
    jwks_lifetime: Seconds = 300.0
    """Seconds between two fetches of the published keys. A withdrawn key is rejected after the next fetch."""
    channels: Literal["granted", "any"] = "granted"
    """Who may send through WhatsApp, Telegram, and channels of extensions. `granted`: users whose own agent
    answers at the sender, and tokens whose `scope` holds `channels` or `channels:NAME`. `any`: every user; for
    installations with a single tenant."""
    tier_claim: str = "tier"
    """The claim that names the tier of a user, see `[limits] tiers`."""
    issuer: str = ""
    """The required `iss` of a token. Empty: `iss` is not checked."""
    audience: str = ""
    """The required `aud` of a token. Empty: a token with an `aud` is rejected."""
    leeway: float = Field(10.0, ge=0, le=60)
    """Seconds by which the clocks of issuer and gateway may differ."""


class LimitsSettings(Section):
    """Limits for clients, which all gateways count together. 0: no limit.

    Limits whose default could surprise are off. Set them before you expose a gateway to the internet.
    """

    requests: OptionalLimit = 0
    """Requests and frames per minute of one user. Further ones are rejected with 429. On the internet, e.g.
    600."""
    messages: OptionalLimit = 0
    """Messages of one user that may be in progress. Further ones are rejected with 429. On the internet, e.g.
    1000."""
    sockets: OptionalLimit = 5000
    """Open sockets of one user. Further ones are closed with 4429."""
    address_sockets: OptionalLimit = 0
    """Open sockets of one address. Behind a proxy, set `gateway.trusted_proxies` first."""
    frames: OptionalLimit = 120_000
    """Frames per minute on one socket before it is closed (4429)."""
    in_hand: OptionalLimit = 2000
    """Requests that one gateway processes at the same time. Further ones are rejected with 503. Probes are still
    answered."""
    head_timeout: Seconds = 10.0
    """Seconds within which a client must send the head of its request, and a new connection its first byte."""
    body_timeout: Seconds = 30.0
    """Seconds within which a client must send the body of its request."""
    keep_alive: Seconds = 75.0
    """Seconds that an idle connection is kept. Common proxies keep theirs for 60 s. The longer time prevents that
    the gateway closes a connection at the moment when a proxy sends on it."""
    tiers: list[TierSpec] = Field([])
    """Tiers as `name:factor:step`, e.g. `premium:10:2`. The limits of a user are multiplied by the factor, and the
    priority of the user's messages is raised by the step (from 5 to 3). The row of the user in the table
    `user_tiers` (or the result of `postgres.tier_query`) names the tier. Without a row, the claim
    `auth.tier_claim` names it."""
