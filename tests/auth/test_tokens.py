"""Tokens: what is issued is accepted, and nothing else is."""

import base64
import json
import time
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from msgctl.auth import tokens
from msgctl.auth.tokens import Verifier
from msgctl.domain.errors import ConfigurationError, InvalidInput, Unauthorized
from tests.support.tokens import BAD_CLAIMS, Change, forged, good_claims, raw, signed, with_auth

if TYPE_CHECKING:
    from collections.abc import Callable


def test_what_is_issued_is_accepted() -> None:
    """A token that `issue` made tells the user and the end of its life."""
    settings = with_auth()
    claims = tokens.verify(settings, tokens.issue(settings, "ana", 60))
    assert claims.user_id == "ana"
    assert claims.expires_at == pytest.approx(time.time() + 60, abs=5)


def test_issuer_and_audience_are_written_and_required() -> None:
    """With `issuer` and `audience` set, our own tokens have both and others are refused."""
    settings = with_auth(issuer="https://id.example", audience="msgctl")
    assert tokens.verify(settings, tokens.issue(settings, "ana", 60)).user_id == "ana"
    for change in ({"iss": "https://id.example"}, {"aud": "msgctl"}, {"iss": "other", "aud": "msgctl"}, {}):
        with pytest.raises(Unauthorized):
            tokens.verify(settings, signed({**good_claims(), **change}))


@pytest.mark.parametrize("change", BAD_CLAIMS)
def test_bad_claims_are_refused(change: Change) -> None:
    """A token with a true signature and any one bad claim is refused."""
    token = raw({"alg": "HS256", "typ": "JWT"}, change(good_claims()))
    with pytest.raises(Unauthorized):
        tokens.verify(with_auth(), token)


@pytest.mark.parametrize("name", sorted(forged()))
def test_forged_tokens_are_refused_alike(name: str) -> None:
    """Every token that is not ours gets the same refusal, which tells nothing of the reason."""
    with pytest.raises(Unauthorized) as refusal:
        tokens.verify(with_auth(), forged()[name])
    with pytest.raises(Unauthorized) as expired:
        tokens.verify(with_auth(), signed({**good_claims(), "exp": 1}))
    assert str(refusal.value) == str(expired.value)


def test_tokens_of_other_issuers_with_the_same_secret_are_accepted() -> None:
    """Further claims (`userId`, `id`, `email`, `role`) are no one's business; without `typ` it is a JWT."""
    claims = {**good_claims(), "userId": "ana", "id": "ana", "email": "ana@example.com", "role": "user"}
    for header in ({"alg": "HS256", "typ": "JWT"}, {"alg": "HS256"}):
        assert tokens.verify(with_auth(), raw(header, claims)).user_id == "ana"


def test_the_tier_is_read_from_its_claim() -> None:
    """A text in the configured claim; anything else is no tier."""
    for claims, tier in (({"plan": "premium"}, "premium"), ({"plan": 7}, ""), ({"tier": "premium"}, "")):
        token = raw({"alg": "HS256"}, {**good_claims(), **claims})
        assert tokens.verify(with_auth(tier_claim="plan"), token).tier == tier


def test_leeway_bears_with_clocks_that_differ() -> None:
    """Within the leeway an expired token is accepted, and its end is told with the leeway in it."""
    expired = {**good_claims(), "exp": int(time.time()) - 5}
    assert tokens.verify(with_auth(leeway=30), signed(expired)).expires_at == expired["exp"] + 30
    with pytest.raises(Unauthorized):
        tokens.verify(with_auth(leeway=1), signed(expired))


def test_a_remembered_token_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    """A verifier that knows a token refuses it all the same once it has expired."""
    settings = with_auth()
    verifier, token = Verifier(settings), tokens.issue(settings, "ana", 60)
    assert verifier.verify(token) is verifier.verify(token)
    later = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)
    with pytest.raises(Unauthorized):
        verifier.verify(token)


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many tokens come, only so many are remembered, and no token itself is."""
    monkeypatch.setattr(tokens, "TOKEN_CACHE_SIZE", 3)
    settings = with_auth()
    verifier = Verifier(settings)
    for number in range(10):
        verifier.verify(tokens.issue(settings, f"user{number}", 60))
    assert len(verifier._claims_cache) == 3
    assert all(len(digest) == 32 for digest in verifier._claims_cache)


@pytest.mark.parametrize("secret", ["", "short", "x" * 31])
def test_a_weak_secret_is_a_configuration_error(secret: str) -> None:
    """A missing or short secret stops the gateway before it opens, with the exit code for that."""
    with pytest.raises(ConfigurationError, match="jwt_secret") as refusal:
        Verifier(with_auth(jwt_secret=secret))
    assert refusal.value.exit_code == 78
    with pytest.raises(ConfigurationError):
        tokens.issue(with_auth(jwt_secret=secret), "ana", 60)


@pytest.mark.parametrize(("user", "lifetime"), [("", 60), ("x" * 129, 60), ("a\nb", 60), ("ana", 0), ("ana", -5)])
def test_what_would_be_refused_is_not_issued(user: str, lifetime: float) -> None:
    """`issue` makes no token that `verify` would refuse."""
    with pytest.raises(InvalidInput):
        tokens.issue(with_auth(), user, lifetime)


def key_pair(algorithm: str) -> tuple[str, str]:
    """A private and a public key in PEM."""
    makers: dict[str, Callable[[], Any]] = {
        "RS256": lambda: rsa.generate_private_key(65537, 2048),
        "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate,
        "weak RSA": lambda: rsa.generate_private_key(65537, 1024),
        "other curve": lambda: ec.generate_private_key(ec.SECP384R1()),
    }
    private = makers[algorithm]()
    return (
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
    )


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_public_keys_verify_their_own_algorithm_alone(algorithm: str) -> None:
    """With a public key its tokens are accepted, while HS256 over that public key, the classic forgery, is not."""
    private, public = key_pair(algorithm)
    settings = with_auth(algorithm=algorithm, public_key=public)
    assert tokens.verify(settings, jwt.encode(good_claims(), private, algorithm=algorithm)).user_id == "ana"
    header = base64.urlsafe_b64encode(b'{"alg":"HS256"}').rstrip(b"=")
    payload = base64.urlsafe_b64encode(json.dumps(good_claims()).encode()).rstrip(b"=")
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
        header + b"." + payload, public.encode()
    )
    confused = b".".join([header, payload, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()
    with pytest.raises(Unauthorized):
        tokens.verify(settings, confused)
    with pytest.raises(ConfigurationError, match="private key"):
        tokens.issue(settings, "ana", 60)


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [("RS256", "ES256"), ("RS256", "weak RSA"), ("ES256", "other curve"), ("EdDSA", "RS256")],
)
def test_a_key_that_does_not_fit_is_a_configuration_error(algorithm: str, key: str) -> None:
    """A key of another kind, a short RSA key, another curve: refused before anything is verified with it."""
    with pytest.raises(ConfigurationError, match="public_key"):
        Verifier(with_auth(algorithm=algorithm, public_key=key_pair(key)[1]))


@pytest.mark.parametrize("text", ["", "no key", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"])
def test_text_that_is_no_key_is_a_configuration_error(text: str) -> None:
    """What cannot be read as PEM is told, not raised as the library's own error."""
    with pytest.raises(ConfigurationError, match="PEM"):
        Verifier(with_auth(algorithm="RS256", public_key=text))


def test_scopes_of_a_token_are_read() -> None:
    """The claim `scope` separates its values with spaces. Any other type of it grants nothing."""
    settings = with_auth()
    token = tokens.issue(settings, "ana", 60, ["channels:whatsapp", "conversations"])
    assert tokens.verify(settings, token).scopes == {"channels:whatsapp", "conversations"}
    assert tokens.verify(settings, tokens.issue(settings, "ana", 60)).scopes == frozenset()
