"""Tokens and claims, valid and invalid."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import jwt

from msgctl.config.settings import Settings

SECRET = "a secret of the tests, 32 bytes or more"

Change = Callable[[dict[str, Any]], dict[str, Any]]


def with_auth(**auth: Any) -> Settings:
    """Settings with this `auth` section; leeway 0 unless said otherwise."""
    return Settings.model_validate({"auth": {"jwt_secret": SECRET, "leeway": 0, **auth}})


def good_claims() -> dict[str, Any]:
    """Claims that are accepted."""
    now = int(time.time())
    return {"sub": "ana", "iat": now, "exp": now + 60}


def signed(claims: dict[str, Any], *, secret: str = SECRET, algorithm: str = "HS256", **header: Any) -> str:
    """A token over any claims."""
    return jwt.encode(claims, secret, algorithm=algorithm, headers=header or None)


def raw(header: dict[str, Any], claims: Any) -> str:
    """A token over JSON that the library would not write, with a true HS256 signature."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
        b".".join(parts), SECRET.encode()
    )
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


def without(name: str) -> Change:
    """Good claims but for one."""
    return lambda claims: {key: value for key, value in claims.items() if key != name}


def having(**changed: Any) -> Change:
    """Good claims with some changed."""
    return lambda claims: {**claims, **changed}


BAD_CLAIMS: list[Change] = [
    without("exp"),
    without("sub"),
    without("iat"),
    having(iat=None),
    having(iat=True),
    having(iat="1700000000"),
    having(exp=None),
    having(exp=int(time.time()) - 61),
    having(exp=0),
    having(exp=-1),
    having(exp=True),
    having(exp="9999999999"),
    having(exp="soon"),
    having(exp=float("inf")),
    having(exp=float("nan")),
    having(exp=[9999999999]),
    having(exp={}),
    having(nbf=int(time.time()) + 86_400),
    having(nbf="later"),
    having(iat=int(time.time()) + 86_400),
    having(iat=float("inf")),
    having(sub=""),
    having(sub=None),
    having(sub=7),
    having(sub=["ana"]),
    having(sub="a" * 129),
    having(sub="ana\n"),
    having(sub="ana\u202e"),
    having(aud="another service"),
    having(aud=["msgctl"]),
]


def forged() -> dict[str, str]:
    """Tokens that nobody with the secret signed as HS256."""
    good = signed(good_claims())
    header, payload, signature = good.split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    other = base64.urlsafe_b64encode(json.dumps({**good_claims(), "sub": "eve"}).encode()).rstrip(b"=").decode()
    return {
        "empty": "",
        "dots": "..",
        "one part": "abc",
        "two parts": f"{header}.{payload}",
        "four parts": f"{good}.{signature}",
        "no signature": f"{header}.{payload}.",
        "alg none": f"{none}.{payload}.",
        "alg none, with the signature": f"{none}.{payload}.{signature}",
        "payload exchanged": f"{header}.{other}.{signature}",
        "signature cut": good[:-2],
        "another secret": signed(good_claims(), secret="another secret of the tests, 32 bytes"),
        "HS512": signed(good_claims(), algorithm="HS512", secret=SECRET * 2),
        "HS384 by name": f"{header.replace('I1NiI', 'M4NCI')}.{payload}.{signature}",
        "typ of something else": signed(good_claims(), typ="logout+jwt"),
        "typ is no text": raw({"alg": "HS256", "typ": 7}, good_claims()),
        "crit unknown": raw({"alg": "HS256", "crit": ["x"], "x": 1, "b64": False}, good_claims()),
        "claims are a list": raw({"alg": "HS256"}, [1, 2]),
        "claims are null": raw({"alg": "HS256"}, None),
        "header is a list": base64.urlsafe_b64encode(b"[]").decode() + f".{payload}.{signature}",
        "not base64": "!!!.???.###",
        "not ascii": "ä.ö.ü",
        "lone surrogate": "\ud800.a.b",
        "deep": base64.urlsafe_b64encode(b"[" * 3000).rstrip(b"=").decode() + f".{payload}.{signature}",
        "huge": "a" * 60_000,
        "spaces": f" {good} ",
        "NUL": good + "\0",
    }
