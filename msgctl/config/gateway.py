"""The settings of the door: where the gateway listens, who may come in, and how much anyone may ask for."""

from typing import Annotated, Literal

from pydantic import Field, SecretStr

from msgctl.config.base import Count, Seconds, Section

OptionalLimit = Annotated[int, Field(ge=0, le=10_000_000)]
AllowedOrigin = Annotated[str, Field(pattern=r"^(\*|https?://[^/\s,]+)$")]
TierSpec = Annotated[str, Field(pattern=r"^[\w-]+:[1-9][0-9]{0,3}:[0-9]$")]


class GatewaySettings(Section):
    """The HTTP and WebSocket door."""

    host: str = "0.0.0.0"  # noqa: S104 - the contract's default: a gateway is there to be reached
    """The address to listen on."""
    port: int = Field(3000, ge=0, le=65535)
    """The port to listen on; 0 takes a free one."""
    locale: Literal["pt-BR", "en"] = "pt-BR"
    """The language of texts meant for people. Fields and codes never change."""
    socket_ttl: Seconds = 30.0
    """Seconds after which the sockets of a gateway that fell silent count as gone."""
    max_body: Annotated[int, Field(ge=1024, le=1_048_576)] = 65_536
    """Bytes a request body or a WebSocket frame may have."""
    max_queued_frames: Count = 256
    """Frames that may wait for one slow reader before its socket is closed (4408)."""
    send_timeout: Seconds = 5.0
    """Seconds one frame may take to be written before its socket is closed (4408)."""
    origins: list[AllowedOrigin] = Field([])
    """Web pages that may use this gateway from a browser besides its own, each exactly as `https://chat.example.com`;
    `*`: any page. What sends no `Origin` (servers, command lines, apps) is never held up by this."""
    trusted_proxies: list[str] = Field([])
    """Addresses or networks of proxies in front, whose X-Forwarded-For tells a client's address."""


class AuthSettings(Section):
    """Who may come in."""

    algorithm: Literal["HS256", "RS256", "ES256", "EdDSA"] = "HS256"
    """The one algorithm tokens are signed with; a token that names another is refused."""
    jwt_secret: SecretStr = SecretStr("")
    """HS256: the shared secret, 32 bytes or more."""
    public_key: str = ""
    """RS256, ES256, EdDSA: the public key in PEM."""
    jwks_url: str = Field("", pattern=r"^$|^https?://[^\s?#]+$")
    """RS256, ES256, EdDSA: where the public keys are published (JWKS), instead of `public_key`. Fetched from here
    alone, whatever a token says."""
    jwks_lifetime: Seconds = 300.0
    """Seconds published keys are used before they are fetched anew; a key that was withdrawn is refused then."""
    tier_claim: str = "tier"
    """The claim that names a user's tier, see `[limits] tiers`."""
    issuer: str = ""
    """Required `iss` of a token; empty: not looked at."""
    audience: str = ""
    """Required `aud` of a token; empty: a token with an `aud` is refused."""
    leeway: float = Field(10.0, ge=0, le=60)
    """Seconds by which clocks may differ."""


class LimitsSettings(Section):
    """How much one client may ask for. All gateways count together. 0: no bound.

    Those that a default could surprise are off: set them before strangers come.
    """

    requests: OptionalLimit = 0
    """Requests and frames a minute one user may send; one more is refused with 429. On the internet, e.g. 600."""
    messages: OptionalLimit = 0
    """Messages of one user that may be under way; one more is refused with 429. On the internet, e.g. 1000."""
    sockets: OptionalLimit = 5000
    """Sockets one user may hold open; one more is closed with 4429."""
    address_sockets: OptionalLimit = 0
    """Sockets one address may hold open. Behind a proxy set `gateway.trusted_proxies` first."""
    frames: OptionalLimit = 120_000
    """Frames a minute that may come on one socket before it is closed (4429)."""
    in_hand: OptionalLimit = 2000
    """Requests one gateway works on at once; one more is refused with 503, while probes are still answered."""
    head_timeout: Seconds = 10.0
    """Seconds a client gets to send the head of its request, and a new connection to send anything."""
    body_timeout: Seconds = 30.0
    """Seconds a client gets to send the body of its request."""
    keep_alive: Seconds = 75.0
    """Seconds an idle connection is kept: longer than the common proxies keep theirs (60), so that it is never we
    who close one in the moment a proxy sends on it."""
    tiers: list[TierSpec] = Field([])
    """Tiers as `name:factor:step`, e.g. `premium:10:2`: bounds of a user are multiplied by the factor, and its
    messages' priorities are raised by the step (from 5 to 3). A user's row in the table `user_tiers` (or in
    `postgres.tier_query`) names the tier, or else the token's claim `auth.tier_claim`."""
