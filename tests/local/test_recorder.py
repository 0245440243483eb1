"""The recorder of provider calls: it demands what the providers demand, and answers as they do."""

import base64
import hashlib
import hmac
import time
from functools import partial
from typing import Any

import aiohttp
import pytest

from msgctl.local.fakes.providers import FakeProviders, ProviderFault

SECRET = "whsec_" + base64.b64encode(b"a secret of 24 bytes or more").decode()
CLOUD = "/v23.0/100200/messages"
TWILIO = "/2010-04-01/Accounts/AC1/Messages.json"
TELEGRAM = "/bot123:abc/sendMessage"
BEARER = {"Authorization": "Bearer x"}
BASIC = {"Authorization": "Basic QUMxOnQ="}


async def post(recorder: FakeProviders, path: str, **request: Any) -> tuple[int, dict[str, Any]]:
    """Send one request; return the status and the JSON body."""
    async with aiohttp.ClientSession() as session, session.post(recorder.url + path, **request) as answer:
        return answer.status, await answer.json()


def signed(body: bytes, *, at: float | None = None, secret: str = SECRET) -> dict[str, str]:
    """The headers of Standard Webhooks for a body."""
    stamp = str(int(at or time.time()))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"m1.{stamp}.".encode() + body, hashlib.sha256)
    signature = f"v1,{base64.b64encode(digest).decode()}"
    return {"webhook-id": "m1", "webhook-timestamp": stamp, "webhook-signature": signature}


async def test_good_requests_get_the_providers_ids_and_are_recorded() -> None:
    """Each provider answers with its own kind of id, and the request can be read in the process and over HTTP."""
    async with FakeProviders(callback_secret=SECRET) as recorder:
        _, telegram = await post(recorder, TELEGRAM, json={"chat_id": 42, "text": "Hi"})
        body = {"messaging_product": "whatsapp", "to": "+5511987654321", "type": "text", "text": {"body": "Hi"}}
        _, cloud = await post(recorder, CLOUD, json=body, headers=BEARER)
        form = {"To": "whatsapp:+5511987654321", "From": "whatsapp:+14155238886", "Body": "Hi"}
        status, twilio = await post(recorder, TWILIO, data=form, headers=BASIC)
        _, callback = await post(recorder, "/callback/here", data=b'{"a":1}', headers=signed(b'{"a":1}'))
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{recorder.url}/__control/requests") as answer,
        ):
            told = await answer.json()
    assert telegram["ok"]
    assert isinstance(telegram["result"]["message_id"], int)
    assert cloud["messages"][0]["id"].startswith("wamid.")
    assert (status, twilio["sid"][:2], twilio["status"]) == (201, "SM", "queued")
    assert callback == {"received": True}
    assert [request["provider"] for request in told] == ["telegram", "whatsapp", "twilio", "callback"]
    assert [request.problem for request in recorder.requests] == [""] * 4
    assert told[2]["fields"]["Body"] == "Hi"


@pytest.mark.parametrize(
    ("path", "request_arguments", "status", "problem"),
    [
        (TELEGRAM, {"json": {"text": "Hi"}}, 400, "chat_id is empty"),
        (TELEGRAM, {"json": {"chat_id": 1, "text": " "}}, 400, "message text is empty"),
        (TELEGRAM, {"json": {"chat_id": 1, "text": "x" * 4097}}, 400, "too long"),
        (TELEGRAM, {"json": {"chat_id": 1, "text": "\U0001f600" * 2049}}, 400, "too long"),
        (TELEGRAM, {"json": {"chat_id": 1, "text": "x", "parse_mode": "bold"}}, 400, "parse_mode"),
        ("/botbad/sendMessage", {"json": {"chat_id": 1, "text": "x"}}, 404, "Not Found"),
        (CLOUD, {"json": {}}, 401, "access token"),
        (CLOUD, {"json": {}, "headers": BEARER}, 400, "messaging_product"),
        (CLOUD, {"json": {"messaging_product": "whatsapp"}, "headers": BEARER}, 400, "parameter to"),
        (
            CLOUD,
            {"json": {"messaging_product": "whatsapp", "to": "+5511987654321"}, "headers": BEARER},
            400,
            "text['body']",
        ),
        (TWILIO, {"data": {"Body": "x"}}, 401, "Authenticate"),
        (TWILIO, {"data": {"Body": "x"}, "headers": BASIC}, 400, "'To'"),
        ("/callback", {"data": b"{}"}, 401, "webhook-id"),
        ("/callback", {"data": b"{}", "headers": partial(signed, b"{}", at=1)}, 401, "webhook-timestamp"),
        ("/callback", {"data": b"{} ", "headers": partial(signed, b"{}")}, 401, "webhook-signature"),
    ],
)
async def test_bad_requests_are_refused_as_the_provider_would(
    path: str, request_arguments: dict[str, Any], status: int, problem: str
) -> None:
    """What a provider would refuse is refused, and recorded with what was wrong."""
    headers = request_arguments.get("headers")
    if callable(headers):  # signed now: when the tests were collected may be long ago
        request_arguments = {**request_arguments, "headers": headers()}
    async with FakeProviders(callback_secret=SECRET) as recorder:
        answered, _ = await post(recorder, path, **request_arguments)
        assert answered == status
        assert problem in recorder.requests[0].problem


async def test_a_provider_can_be_made_to_fail_and_recovers() -> None:
    """A fault lasts as often as ordered, from outside too, and is recorded like any other answer."""
    async with FakeProviders() as recorder:
        recorder.faults["telegram"] = ProviderFault(429, times=2, retry_after=7)
        good = {"json": {"chat_id": 42, "text": "Hi"}}
        assert [(await post(recorder, TELEGRAM, **good))[0] for _ in range(3)] == [429, 429, 200]
        await post(recorder, "/__control", json={"telegram": {"mode": 500}})
        assert (await post(recorder, TELEGRAM, **good))[0] == 500
        await post(recorder, "/__control", json={"telegram": None})
        assert (await post(recorder, TELEGRAM, **good))[0] == 200
        assert [request.status for request in recorder.requests_to("telegram")] == [429, 429, 200, 500, 200]


async def test_a_lost_answer_is_a_request_that_was_carried_out() -> None:
    """With `lost` the provider has sent the message, but the caller cannot know."""
    async with FakeProviders() as recorder:
        recorder.faults["telegram"] = ProviderFault("lost", times=1)
        with pytest.raises(aiohttp.ClientPayloadError):
            await post(recorder, TELEGRAM, json={"chat_id": 42, "text": "Hi"})
        assert recorder.requests[0].body["ok"]
