"""JSON Web Tokens, issued for operators and verified by the gateway, following RFC 8725.

The settings name the one algorithm; the token never does. All rejected tokens get the same answer.
"""

import hashlib
import json
import time
from collections.abc import Iterable
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
"""The least bytes of an HS256 secret (RFC 7518 §3.2)."""
MIN_RSA_BITS = 2048
"""The least bits of an RSA key (RFC 7518 §3.3)."""
MAX_USER_ID_CHARS = 128
"""The most characters of a user id, `sub`."""
MAX_TOKEN_BYTES = 8192
"""The most bytes of a token."""
TOKEN_CACHE_SIZE = 4096
"""The number of verified tokens that one process caches."""
ACCEPTED_TYP_HEADERS = frozenset({"jwt", "at+jwt"})
"""`typ` headers of tokens that are meant for an API, in lower case and without `application/`."""
KEY_CLASS_BY_ALGORITHM: dict[str, type] = {
    "RS256": RSAPublicKey,
    "ES256": EllipticCurvePublicKey,
    "EdDSA": Ed25519PublicKey,
}


class Claims(msgspec.Struct, frozen=True):
    """The claims of a verified token."""

    user_id: str
    expires_at: float
    """The Unix time in seconds, leeway included, from which the token is rejected."""
    tier: str = ""
    """The value of the claim `auth.tier_claim`; empty if it is missing."""
    scopes: frozenset[str] = frozenset()
    """The values of the claim `scope`, which separates them with spaces (RFC 8693, section 4.2)."""


class UnknownKey(Unauthorized):
    """The token names a key that is not among the loaded keys, perhaps because it was published since."""


class Verifier:
    """Verifies tokens, and caches verified ones until they expire.

    Args:
        settings: `auth.*`.

    With `auth.jwks_url` it has no key until the caller fetches the keys and passes them to `load_jwks`.

    Raises:
        ConfigurationError: the secret or public key is missing, too weak, or not the only source of keys.
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
        """Replace the keys by those of a JWKS document, except keys that do not fit the algorithm.

        Returns:
            The number of keys now.

        Raises:
            ValueError: the document is invalid or contains no usable key. The former keys stay in use.
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
            self._claims_cache.clear()  # tokens that a withdrawn key signed are rejected from now on
        self._published_keys, self._jwks_digest = usable, digest
        return len(usable)

    def verify(self, token: str) -> Claims:
        """Verify a token and return its claims.

        Raises:
            UnknownKey: the token names a key that is not loaded.
            Unauthorized: the token is rejected. The error does not say why.
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
            # Unusual JSON in a claim makes the library raise the latter three.
            raise Unauthorized(_REJECTION_TEXT) from None
        if not _is_accepted_typ(decoded["header"].get("typ", "JWT")):
            raise Unauthorized(_REJECTION_TEXT)
        return _parse_claims(decoded["payload"], auth.leeway, auth.tier_claim)

    def _find_published_key(self, token: str) -> Any:
        """Return the published key that a token names. The header's `jku`, `x5u`, and `jwk` are ignored."""
        key = self._published_keys.get(jwt.get_unverified_header(token).get("kid", ""))
        if key is None:
            raise UnknownKey(_REJECTION_TEXT)
        return key

    def _cache_claims(self, digest: bytes, claims: Claims) -> None:
        if len(self._claims_cache) >= TOKEN_CACHE_SIZE:
            del self._claims_cache[next(iter(self._claims_cache))]
        self._claims_cache[digest] = claims


def verify(settings: Settings, token: str) -> Claims:
    """Verify one token and return its claims. To verify many, keep a `Verifier`.

    Raises:
        Unauthorized: the token is rejected. The error does not say why.
        ConfigurationError: no key is configured.
    """
    return Verifier(settings).verify(token)


def decode_unverified(token: str) -> dict[str, Any]:
    """Return the header's `alg` and the claims of a token without verifying it; {} if it is not a token."""
    try:
        decoded = jwt.decode_complete(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, TypeError):
        return {}
    return {"alg": decoded["header"].get("alg"), **decoded["payload"]}


def issue(settings: Settings, user_id: str, lifetime_seconds: float, scopes: Iterable[str] = ()) -> str:
    """Issue a token for a user, signed with the shared secret.

    Args:
        settings: `auth.*`.
        user_id: the `sub` of the token.
        lifetime_seconds: seconds until the token expires.
        scopes: the values of its `scope`, e.g. `channels:whatsapp`.

    Raises:
        InvalidInput: the user id is empty, too long, or not printable, or the lifetime is less than a second.
        ConfigurationError: the secret is missing, or tokens are signed elsewhere (RS256, ES256, EdDSA).
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
    if scope := " ".join(scopes):
        claims["scope"] = scope
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
    scope = payload.get("scope")
    return Claims(
        user_id,
        min(float(expires), _MAX_EXPIRES_AT) + leeway,
        tier if isinstance(tier, str) else "",
        frozenset(scope.split()) if isinstance(scope, str) else frozenset(),
    )


def _is_accepted_typ(typ: object) -> bool:
    """Check the media type of a token (RFC 7515 §4.1.9): `application/` is optional, and case does not count."""
    return isinstance(typ, str) and typ.lower().removeprefix("application/") in ACCEPTED_TYP_HEADERS


def _is_number(value: object) -> bool:
    """Check for a NumericDate, a JSON number (RFC 7519 §2). PyJWT also accepts `"1700000000"` and `true`."""
    return isinstance(value, int | float) and not isinstance(value, bool)


_MAX_EXPIRES_AT = 253402300799.0
"""The last second of the year 9999, the latest time that timers and dates can represent."""


def _is_valid_user_id(user_id: object) -> bool:
    return isinstance(user_id, str) and 0 < len(user_id) <= MAX_USER_ID_CHARS and user_id.isprintable()
