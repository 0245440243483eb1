"""A stand-in for the providers: checks, answers and records what is sent to customers.

    python -m msgctl.local.fakes.providers --port 9000

Telegram, WhatsApp Cloud, Twilio and a callback URL in one server. What was sent is told at
GET /__control/requests; POST /__control makes a provider fail.
"""

import argparse
import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Self
from urllib.parse import parse_qsl

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from msgctl.local.fakes.http_server import HttpServer, serve_process
from msgctl.local.fakes.provider_rules import RESPONDER_BY_PROVIDER, ProviderRequest, ProviderResponse
from msgctl.local.supervisor import ports


class ProviderFault(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """How a provider fails.

    Args:
        mode: an HTTP status, `hang` (no answer) or `lost` (it is sent, but the answer is cut off).
        times: how many requests fail before it is well again; 0: all.
        retry_after: seconds that it asks to wait, with 429 and 503.
    """

    mode: int | str
    times: int = 0
    retry_after: float = 1.0


class RecordedRequest(msgspec.Struct, rename="camel"):
    """One request, and what came of it."""

    provider: str
    path: str
    headers: dict[str, str]
    fields: Mapping[str, Any]
    """The body, read as JSON or as a form."""
    status: int
    """What was answered; 0: nothing."""
    problem: str
    """What the provider found wrong with it; empty: nothing."""
    body: dict[str, Any]
    """The answer, with the provider's id of the message."""


class FakeProviders:
    """The providers inside this process: `async with Recorder() as recorder: … recorder.url …`.

    Args:
        port: the port on 127.0.0.1; None takes a free one.
        callback_secret: what callbacks are signed with; empty: any signature will do.
    """

    def __init__(self, port: int | None = None, *, callback_secret: str = "") -> None:
        self.callback_secret = callback_secret
        self.requests: list[RecordedRequest] = []
        self.faults: dict[str, ProviderFault] = {}
        """By provider, how it fails."""
        self.on_request: Callable[[RecordedRequest], None] = lambda _: None
        """Told of each request as it comes."""
        self.app = Starlette(
            routes=[
                Route("/__control/requests", self._report_requests, methods=["GET"]),
                Route("/__control", self._change_faults, methods=["POST"]),
                Route("/bot{token}/sendMessage", self._make_endpoint("telegram"), methods=["POST"]),
                Route("/{version}/{sender}/messages", self._make_endpoint("whatsapp"), methods=["POST"]),
                Route("/2010-04-01/Accounts/{sid}/Messages.json", self._make_endpoint("twilio"), methods=["POST"]),
                Route("/callback{rest:path}", self._make_endpoint("callback"), methods=["POST"]),
            ]
        )
        self._server = HttpServer(self.app, port)

    @property
    def url(self) -> str:
        """The base URL of every provider; callbacks go to `{url}/callback`."""
        return self._server.url

    async def __aenter__(self) -> Self:
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop()

    def requests_to(self, provider: str) -> list[RecordedRequest]:
        """The requests to one provider, oldest first."""
        return [recorded for recorded in self.requests if recorded.provider == provider]

    def _make_endpoint(self, provider: str) -> Any:
        async def take(request: Request) -> Response:
            raw = await request.body()
            headers = dict(request.headers)
            sent = ProviderRequest(request.url.path, headers, raw, _parse_body(raw, headers), self.callback_secret)
            answered, mode = self._decide_response(provider, sent)
            recorded = RecordedRequest(
                provider=provider,
                path=sent.path,
                headers=headers,
                fields=sent.fields,
                status=answered.status,
                problem=answered.problem,
                body=answered.body,
            )
            self.requests.append(recorded)
            self.on_request(recorded)
            return await _respond(answered, mode)

        return take

    def _decide_response(
        self, provider: str, sent: ProviderRequest
    ) -> tuple[ProviderResponse, ProviderFault | None]:
        fault = self.faults.get(provider)
        if fault is None:
            return RESPONDER_BY_PROVIDER[provider](sent), None
        if fault.times:
            left = msgspec.structs.replace(fault, times=fault.times - 1)
            self.faults = {**self.faults, provider: left}
            if not left.times:
                del self.faults[provider]
        if fault.mode == "lost":
            return RESPONDER_BY_PROVIDER[provider](sent), fault
        status = fault.mode if isinstance(fault.mode, int) else 0
        return ProviderResponse(status, {"error": "as the test ordered"}, "as the test ordered"), fault

    async def _report_requests(self, _: Request) -> Response:
        return _to_json_response(self.requests)

    async def _change_faults(self, request: Request) -> Response:
        """Make providers fail: `{"telegram": {"mode": 429, "times": 1}}`; null makes one well again."""
        try:
            wanted = msgspec.json.decode(await request.body(), type=dict[str, ProviderFault | None])
        except msgspec.MsgspecError as error:
            return _to_json_response({"error": str(error)}, 422)
        self.faults = {name: fault for name, fault in (self.faults | wanted).items() if fault is not None}
        return _to_json_response(self.faults)


async def _respond(answered: ProviderResponse, fault: ProviderFault | None) -> Response:
    if fault is None:
        return _to_json_response(answered.body, answered.status)
    if fault.mode == "hang":
        await asyncio.sleep(3600)
    if fault.mode == "lost":
        return Response(b"{", headers={"Content-Length": "4096"}, media_type="application/json")
    headers = {"Retry-After": f"{fault.retry_after:g}"} if answered.status in {429, 503} else None
    return _to_json_response(answered.body, answered.status, headers)


def _parse_body(raw: bytes, headers: Mapping[str, str]) -> Mapping[str, Any]:
    if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return dict(parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True))
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except msgspec.MsgspecError:
        return {}


def _to_json_response(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(content), status, headers, media_type="application/json")


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(
        prog="python -m msgctl.local.fakes.providers", description="A stand-in for the messaging providers."
    )
    parser.add_argument("--port", type=int, default=9000, help="port on 127.0.0.1; 0 takes a free one")
    arguments = parser.parse_args()
    serve_process(FakeProviders().app, ports.open_listener(ports.LOOPBACK, arguments.port))


if __name__ == "__main__":
    main()
