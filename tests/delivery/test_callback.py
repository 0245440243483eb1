"""The HTTP callback: its signature, its body, its failures."""

import asyncio
import base64
import hashlib
import hmac
import time
from contextlib import suppress

import msgspec
import pytest
from aiohttp import web
from pydantic import SecretStr

from msgctl.channels.callback.sender import CallbackSender, sign
from msgctl.channels.text.styled import TextPart
from msgctl.config.settings import Settings
from msgctl.domain.errors import BadAddress, DeliveryUnknown, FaultClass, ProviderRejected
from msgctl.domain.messages import Channel, Response
from msgctl.http.client import MAX_ANSWER, HttpClient
from tests.support.providers import Providers
from tests.support.replies import response
from tools.support.daemons import PATIENCE


@pytest.fixture
def callback(settings: Settings, poster: HttpClient) -> CallbackSender:
    """The sender; both of its clients call the local server."""
    return CallbackSender(settings, poster, poster)


def to(providers: Providers) -> Response:
    """Return a response for the local server."""
    return response(Channel.API, {"callbackUrl": f"{providers.url}/hook?tenant=1"}, message_id="m-1")


def test_signature_follows_the_standard() -> None:
    """The example of the Standard Webhooks specification gives exactly its signature."""
    headers = sign(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        b'{"test": 2432232314}',
        sent_at=1614265330,
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_every_secret_signs_during_a_rotation(settings: Settings, providers: Providers) -> None:
    """During a rotation a receiver finds a signature by the secret that it knows."""
    secrets = [f"whsec_{base64.b64encode(letter * 32).decode()}" for letter in (b"n", b"o")]
    both = settings.callback.model_copy(update={"secret": SecretStr(" ".join(secrets))})
    async with HttpClient(settings) as poster:
        rotating = CallbackSender(settings.model_copy(update={"callback": both}), poster, poster)
        await rotating.send(to(providers), TextPart(""), first=True)
    [request] = providers.requests
    moment = int(request.headers["webhook-timestamp"])
    alone = [sign(secret, "m-1", request.body, sent_at=moment)["webhook-signature"] for secret in secrets]
    assert request.headers["webhook-signature"].split() == alone


async def test_the_request(callback: CallbackSender, providers: Providers, settings: Settings) -> None:
    """The receiver gets the response in the format of the API and can verify it from the raw body."""
    reply = to(providers)
    assert await callback.send(reply, TextPart(""), first=True) == ""
    [request] = providers.requests
    assert request.path == "/hook"
    assert msgspec.json.decode(request.body, type=Response) == reply
    assert request.headers["webhook-id"] == "m-1"
    moment = request.headers["webhook-timestamp"]
    assert abs(int(moment) - time.time()) < 60
    key = base64.b64decode(settings.callback.secret.get_secret_value().removeprefix("whsec_"))
    digest = hmac.digest(key, f"m-1.{moment}.".encode() + request.body, hashlib.sha256)
    assert request.headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        (301, FaultClass.TRANSIENT),
        (400, FaultClass.FINAL),
        (404, FaultClass.TRANSIENT),
        (410, FaultClass.FINAL),
        (422, FaultClass.FINAL),
        (429, FaultClass.TRANSIENT),
        (503, FaultClass.TRANSIENT),
    ],
)
async def test_rejection_is_classified(
    callback: CallbackSender, providers: Providers, status: int, fault: FaultClass
) -> None:
    """Statuses about the receiver are transient, even a redirect; statuses about the message are final."""
    headers = {"Retry-After": "120", "Location": f"{providers.url}/inner"}
    providers.answers.append(web.Response(status=status, headers=headers))
    with pytest.raises(ProviderRejected) as raised:
        await callback.send(to(providers), TextPart(""), first=True)
    assert (raised.value.fault, raised.value.retry_after) == (fault, 120.0)
    assert len(providers.requests) == 1


async def test_success_counts_with_any_body(callback: CallbackSender, providers: Providers) -> None:
    """A body longer than the reading limit does not undo a 200."""
    providers.answers.append(web.Response(body=b"x" * (MAX_ANSWER * 3)))
    assert await callback.send(to(providers), TextPart(""), first=True) == ""


async def test_a_body_that_never_ends_is_not_waited_for(settings: Settings) -> None:
    """F25: a receiver that answers 200 and then trickles its body holds a slot no longer than the timeout."""
    hung_up = asyncio.Event()

    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        with suppress(OSError):
            while not reader.at_eof():
                writer.write(b"1\r\nx\r\n")
                await writer.drain()
                await asyncio.sleep(0.05)
        hung_up.set()
        writer.close()

    hasty = settings.model_copy(update={"delivery": settings.delivery.model_copy(update={"timeout": 0.4})})
    async with await asyncio.start_server(trickle, "127.0.0.1", 0) as server, HttpClient(hasty) as poster:
        host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        trusted = hasty.callback.model_copy(update={"allowed_hosts": [host]})
        callback = CallbackSender(hasty.model_copy(update={"callback": trusted}), poster, poster)
        reply = response(Channel.API, {"callbackUrl": f"http://{host}/"})
        assert await callback.send(reply, TextPart(""), first=True) == ""
        await asyncio.wait_for(hung_up.wait(), PATIENCE)


async def test_broken_connection_leads_to_unknown(callback: CallbackSender, providers: Providers) -> None:
    """Without a status it may have arrived, and may be repeated, since `webhook-id` stays the same."""
    providers.answers.append("cut")
    with pytest.raises(DeliveryUnknown):
        await callback.send(to(providers), TextPart(""), first=True)
    assert CallbackSender.idempotent


@pytest.mark.parametrize("secret", ["", "plain", "whsec_c2hvcnQ=", "whsec_%%%"])
async def test_callback_without_a_secret_is_rejected(
    settings: Settings, poster: HttpClient, providers: Providers, secret: str
) -> None:
    """Without a valid secret no callback is sent, and the failure names the setting, not the secret."""
    weak = settings.callback.model_copy(update={"secret": SecretStr(secret)})
    callback = CallbackSender(settings.model_copy(update={"callback": weak}), poster, poster)
    with pytest.raises(BadAddress, match=r"\[callback\] secret") as raised:
        await callback.send(to(providers), TextPart(""), first=True)
    assert not secret or secret not in raised.value.message
    assert providers.requests == []
