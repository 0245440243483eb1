"""Who is asking: JSON Web Tokens, issued for operators and verified at the door, after RFC 8725.

One algorithm, from the settings and never from the token; every token that is not accepted is refused alike.
"""

import hashlib
import json
import time
from typing import Any

import jwt
import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from msgctl.config.settings import Settings
from msgctl.domain.errors import ConfigurationError, InvalidInput, Unauthorized

MIN_SECRET_BYTES = 32
"""Bytes an HS256 secret must have (RFC 7518 §3.2)."""
MIN_RSA_BITS = 2048
"""Bits an RSA key must have (RFC 7518 §3.3)."""
MAX_USER_ID_CHARS = 128
"""Characters a user's id, `sub`, may have."""
MAX_TOKEN_BYTES = 8192
"""Bytes of a token that are looked at."""
TOKEN_CACHE_SIZE = 4096
"""Verified tokens one process remembers."""
ACCEPTED_TYP_HEADERS = frozenset({"jwt", "at+jwt"})
"""`typ` headers of tokens that are meant for an API, in lower case."""
KEY_CLASS_BY_ALGORITHM: dict[str, type] = {
    "RS256": RSAPublicKey,
    "ES256": EllipticCurvePublicKey,
    "EdDSA": Ed25519PublicKey,
}


class Claims(msgspec.Struct, frozen=True):
    """What a verified token says."""

    user_id: str
    expires_at: float
    """Unix seconds from which on it is refused, leeway included."""
    tier: str = ""
    """What the claim `auth.tier_claim` says; empty without it."""


class UnknownKey(Unauthorized):
    """The token names a key that is not among the published ones, or not yet."""


class Verifier:
    """Verifies tokens, and remembers those it has verified until they expire.

    Args:
        settings: `auth.*`.

    With `auth.jwks_url` it has no key until `publish` gives it some: fetching them is not its business.

    Raises:
        ConfigurationError: the secret or public key is missing, too weak to be used, or not the only one.
    """

    def __init__(self, settings: Settings) -> None:
        self._auth = settings.auth
        self._key = None if settings.auth.jwks_url else _load_verification_key(settings)
        self._published_keys: dict[str, Any] = {}
        self._jwks_digest = b""
        self._claims_cache: dict[bytes, Claims] = {}
        if self._auth.jwks_url and (self._auth.algorithm == "HS256" or self._auth.public_key):
            raise ConfigurationError(
                "[auth] jwks_url goes with RS256, ES256 or EdDSA and without public_key: one source of keys."
            )

    def load_jwks(self, document: bytes) -> int:
        """Use the keys of a JWKS document and no others; those that do not fit the algorithm are left out.

        Returns:
            How many keys there are now.

        Raises:
            ValueError: it is no such document, or holds no usable key; the former keys stay.
        """
        try:
            listed = jwt.PyJWKSet.from_dict(json.loads(document)).keys
        except (jwt.PyJWTError, RecursionError, AttributeError, TypeError) as error:
            raise ValueError(f"It is no usable JWKS ({type(error).__name__}).") from None
        algorithm = self._auth.algorithm
        usable = {
            key.key_id: key.key
            for key in listed
            if key.key_id
            and key.public_key_use in {None, "sig"}
            and key.algorithm_name == algorithm
            and _is_suitable_key(key.key, algorithm)
        }
        if not usable:
            raise ValueError(f"It holds no key for {algorithm}.")
        digest = hashlib.sha256(document).digest()
        if digest != self._jwks_digest:
            self._claims_cache.clear()  # what a withdrawn key has signed is refused from now on
        self._published_keys, self._jwks_digest = usable, digest
        return len(usable)

    def verify(self, token: str) -> Claims:
        """Say whose token this is.

        Raises:
            UnknownKey: it names a key that is not published, as far as is known here.
            Unauthorized: it is not accepted; why is not told.
        """
        # By digest, so that a core dump or a debugger shows no usable token.
        digest = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        claims = self._claims_cache.get(digest)
        if claims is None:
            claims = self._decode(token)
            self._cache_claims(digest, claims)
        if claims.expires_at <= time.time():
            raise Unauthorized(_REJECTION_TEXT)
        return claims

    def _decode(self, token: str) -> Claims:
        auth = self._auth
        if len(token) > MAX_TOKEN_BYTES:
            raise Unauthorized(_REJECTION_TEXT)
        try:
            decoded = jwt.decode_complete(
                token,
                self._key or self._find_published_key(token),
                algorithms=[auth.algorithm],
                audience=auth.audience or None,
                issuer=auth.issuer or None,
                leeway=auth.leeway,
                options={"require": ["exp", "iat", "sub"], "enforce_minimum_key_length": True},
            )
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError):
            # The latter three: what strange JSON in a claim can still provoke inside the library.
            raise Unauthorized(_REJECTION_TEXT) from None
        if str(decoded["header"].get("typ", "JWT")).lower() not in ACCEPTED_TYP_HEADERS:
            raise Unauthorized(_REJECTION_TEXT)
        return _parse_claims(decoded["payload"], auth.leeway, auth.tier_claim)

    def _find_published_key(self, token: str) -> Any:
        """The published key that a token names; `jku`, `x5u` and `jwk` of its header are not looked at."""
        key = self._published_keys.get(jwt.get_unverified_header(token).get("kid", ""))
        if key is None:
            raise UnknownKey(_REJECTION_TEXT)
        return key

    def _cache_claims(self, digest: bytes, claims: Claims) -> None:
        if len(self._claims_cache) >= TOKEN_CACHE_SIZE:
            del self._claims_cache[next(iter(self._claims_cache))]
        self._claims_cache[digest] = claims


def verify(settings: Settings, token: str) -> Claims:
    """Say whose token this is, once; who asks often keeps a `Verifier`.

    Raises:
        Unauthorized: it is not accepted; why is not told.
        ConfigurationError: there is no key to verify it with.
    """
    return Verifier(settings).verify(token)


def decode_unverified(token: str) -> dict[str, Any]:
    """What a token says of itself, believed by nobody: its header's `alg` and its claims; {} if it is none."""
    try:
        decoded = jwt.decode_complete(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, TypeError):
        return {}
    return {"alg": decoded["header"].get("alg"), **decoded["payload"]}


def issue(settings: Settings, user_id: str, lifetime_seconds: float) -> str:
    """A token for a user, signed with the shared secret.

    Args:
        settings: `auth.*`.
        user_id: becomes the token's `sub`.
        lifetime_seconds: how long it shall be accepted.

    Raises:
        InvalidInput: the user id is empty, too long or not printable, or the lifetime is not positive.
        ConfigurationError: there is no secret, or tokens are signed elsewhere (RS256, ES256, EdDSA).
    """
    auth = settings.auth
    if auth.algorithm != "HS256":
        raise ConfigurationError(
            f"With [auth] algorithm {auth.algorithm} msgctl holds the public key alone and cannot issue tokens. "
            "Ask whoever holds the private key, or use HS256."
        )
    if not _is_valid_user_id(user_id):
        problem = f"Expected 1 to {MAX_USER_ID_CHARS} printable characters"
        raise InvalidInput(f"The user id: {problem}.", details=[{"field": "user", "problem": problem}])
    now = int(time.time())
    if lifetime_seconds < 1:
        raise InvalidInput("A token must live for a second at least.")
    claims: dict[str, Any] = {"sub": user_id, "iat": now, "exp": now + int(lifetime_seconds)}
    if auth.issuer:
        claims["iss"] = auth.issuer
    if auth.audience:
        claims["aud"] = auth.audience
    return jwt.encode(claims, _load_verification_key(settings), algorithm=auth.algorithm)


_REJECTION_TEXT = "The token is missing, bad or expired. Send a valid one."


def _load_verification_key(settings: Settings) -> Any:
    auth = settings.auth
    if auth.algorithm != "HS256":
        return _load_public_key(auth.public_key, auth.algorithm)
    secret = auth.jwt_secret.get_secret_value().encode()
    if len(secret) < MIN_SECRET_BYTES:
        raise ConfigurationError(
            f"[auth] jwt_secret has {len(secret)} bytes and needs {MIN_SECRET_BYTES} or more. Make one: "
            "openssl rand -base64 48, and set it there, in MSGCTL_AUTH_JWT_SECRET or in a file named by "
            "MSGCTL_AUTH_JWT_SECRET_FILE."
        )
    return secret


def _load_public_key(pem: str, algorithm: str) -> Any:
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigurationError(f"[auth] public_key is no public key in PEM; {algorithm} needs one.") from None
    if not _is_suitable_key(key, algorithm):
        raise ConfigurationError(f"[auth] public_key is not of the kind and size that {algorithm} needs.")
    return key


def _is_suitable_key(key: object, algorithm: str) -> bool:
    weak = isinstance(key, RSAPublicKey) and key.key_size < MIN_RSA_BITS
    other_curve = isinstance(key, EllipticCurvePublicKey) and key.curve.name != "secp256r1"
    return isinstance(key, KEY_CLASS_BY_ALGORITHM[algorithm]) and not weak and not other_curve


def _parse_claims(payload: dict[str, Any], leeway: float, tier_claim: str) -> Claims:
    user_id, expires, tier = payload["sub"], payload["exp"], payload.get(tier_claim)
    if not _is_valid_user_id(user_id) or not _is_number(expires) or not _is_number(payload["iat"]):
        raise Unauthorized(_REJECTION_TEXT)
    return Claims(user_id, min(float(expires), _MAX_EXPIRES_AT) + leeway, tier if isinstance(tier, str) else "")


def _is_number(value: object) -> bool:
    """PyJWT takes `"exp": "1700000000"` and `true`; a NumericDate is a JSON number (RFC 7519 §2)."""
    return isinstance(value, int | float) and not isinstance(value, bool)


_MAX_EXPIRES_AT = 253402300799.0
"""The last second of the year 9999: what timers and dates can bear."""


def _is_valid_user_id(user_id: object) -> bool:
    return isinstance(user_id, str) and 0 < len(user_id) <= MAX_USER_ID_CHARS and user_id.isprintable()
