"""Public keys from a JWKS address: fetched, rotated, withdrawn, and never from where a token says."""

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from daemons.gateway.app import serve
from daemons.gateway.auth import jwks
from daemons.gateway.auth.jwks import PublishedKeys
from msgctl.auth.tokens import Verifier
from msgctl.config.settings import Settings
from msgctl.domain.errors import ConfigurationError, Unauthorized
from tests.support.gateway_clients import Client, running


class Provider:
    """An identity provider: publishes keys, signs tokens."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {}
        self.fetched = 0
        self.body: bytes | None = None
        self.status = 200
        self.url = ""

    def add(self, kid: str) -> None:
        """Make a key."""
        self.keys[kid] = ec.generate_private_key(ec.SECP256R1())

    def token(self, kid: str, **header: Any) -> str:
        """A token signed with a key, published or not."""
        now = int(time.time())
        key = self.keys.get(kid) or ec.generate_private_key(ec.SECP256R1())
        claims = {"sub": "ana", "iat": now, "exp": now + 600}
        return jwt.encode(claims, key, algorithm="ES256", headers={"kid": kid, **header})

    async def answer(self, _: web.Request) -> web.Response:
        """Publish."""
        self.fetched += 1
        return web.Response(body=self.body or published(self.keys), status=self.status)


def published(keys: dict[str, Any]) -> bytes:
    """A JWKS document of public keys."""
    algorithm = jwt.get_algorithm_by_name("ES256")
    entries = [{**json.loads(algorithm.to_jwk(key.public_key())), "kid": kid} for kid, key in keys.items()]
    return json.dumps({"keys": entries}).encode()


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    """A provider with one key, `one`."""
    provider = Provider()
    provider.add("one")
    app = web.Application()
    app.router.add_get("/keys", provider.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    provider.url = f"http://127.0.0.1:{runner.addresses[0][1]}/keys"
    yield provider
    await runner.cleanup()


def published_at(settings: Settings, url: str, **auth: Any) -> Settings:
    """Settings with keys from an address."""
    update = {"algorithm": "ES256", "jwks_url": url, **auth}
    return settings.model_copy(update={"auth": settings.auth.model_copy(update=update)})


async def test_gateway_loads_published_keys(settings: Settings, provider: Provider) -> None:
    """A token of a published key opens; one of a new key too, after one more look; a stranger's does not."""
    async with running(serve, published_at(settings, provider.url)) as life, aiohttp.ClientSession() as http:
        client = Client(life.status.result().removeprefix("listening at "), settings, "ana", http)
        provider.add("two")
        for kid, status in (("one", 200), ("two", 200), ("three", 401), ("four", 401)):
            client.token = provider.token(kid)
            assert (await client.get("/api/messages/queue/stats")).status == status, kid
        assert provider.fetched == 2


async def test_token_cannot_name_the_url_of_its_key(settings: Settings, provider: Provider) -> None:
    """`jku`, `x5u` and `jwk` in a header are not followed: only the configured address is asked."""
    stranger = Provider()
    stranger.add("mine")
    header = {"jku": provider.url, "x5u": provider.url, "jwk": json.loads(published(stranger.keys))["keys"][0]}
    verifier = Verifier(published_at(settings, provider.url))
    verifier.load_jwks(published(provider.keys))
    with pytest.raises(Unauthorized):
        verifier.verify(stranger.token("mine", **header))
    with pytest.raises(Unauthorized):
        verifier.verify(stranger.token("one", **header))
    assert provider.fetched == 0


async def test_withdrawn_key_is_refused(
    settings: Settings, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the document lacks a key, even tokens that were known are refused; a failed fetch withdraws nothing."""
    monkeypatch.setattr(jwks, "UNKNOWN_KEY_COOLDOWN_S", 0.0)
    verifier = Verifier(published_at(settings, provider.url))
    keys = PublishedKeys(verifier, published_at(settings, provider.url))
    await keys.refresh_for_unknown_key()
    token = provider.token("one")
    assert verifier.verify(token).user_id == "ana"
    for provider.status, provider.body in (
        (500, None),
        (302, None),
        (200, b"no JSON"),
        (200, b"[]"),
        (200, b"x" * 300_000),
    ):
        await keys.refresh_for_unknown_key()
        assert verifier.verify(token).user_id == "ana"
    del provider.keys["one"]
    provider.add("two")
    provider.status, provider.body = 200, None
    await keys.refresh_for_unknown_key()
    with pytest.raises(Unauthorized):
        verifier.verify(token)


async def test_unknown_keys_do_not_flood_the_provider(settings: Settings, provider: Provider) -> None:
    """However many tokens with unknown keys come, the address is asked once within the cooldown."""
    keys = PublishedKeys(Verifier(published_at(settings, provider.url)), published_at(settings, provider.url))
    for _ in range(5):
        await keys.refresh_for_unknown_key()
    assert provider.fetched == 1


def test_unsuitable_keys_are_ignored(settings: Settings, provider: Provider) -> None:
    """Symmetric keys, other kinds, keys for encryption and keys without a name are no keys of ours."""
    verifier = Verifier(published_at(settings, "http://127.0.0.1:9/"))
    good = json.loads(published({"good": ec.generate_private_key(ec.SECP256R1())}))["keys"][0]
    other = rsa.generate_private_key(65537, 2048).public_key()
    others = [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "oct", "alg": "HS256"},
        {**json.loads(jwt.get_algorithm_by_name("RS256").to_jwk(other)), "kid": "rsa"},
        {**good, "kid": "enc", "use": "enc"},
        {key: value for key, value in good.items() if key != "kid"},
        {**good, "kid": "other", "alg": "ES384"},
    ]
    assert verifier.load_jwks(json.dumps({"keys": [*others, good]}).encode()) == 1
    with pytest.raises(ValueError, match="no"):
        verifier.load_jwks(json.dumps({"keys": others}).encode())


@pytest.mark.parametrize("auth", [{"algorithm": "HS256"}, {"algorithm": "ES256", "public_key": "a key"}])
def test_only_one_source_of_keys_is_allowed(auth: dict[str, str], settings: Settings) -> None:
    """A shared secret beside published keys, or two sources of public ones, stop the gateway from starting."""
    with pytest.raises(ConfigurationError, match="jwks_url"):
        Verifier(published_at(settings, "http://127.0.0.1:9/", **auth))
