"""Every way in which an n8n answers a webhook, well or badly, as real ones were seen to."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse

WebhookBody = dict[str, Any]
"""The body that msgctl sends."""
Responder = Callable[[WebhookBody, float], Awaitable[Response]]
"""Makes an answer from a call and the seconds to name in Retry-After."""

HANG_S = 3600.0
HUGE_BODY_BYTES = 2 * 1024 * 1024


BAD_GATEWAY_PAGE = (
    "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n"
    "<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)
"""The page of nginx before an n8n that does not run."""


def echo(call: WebhookBody) -> dict[str, Any]:
    """A reply as the contract has it: quotes the customer, and tells how much it was reminded of."""
    text, turns = str(call.get("message", "")), len(call.get("history") or [])
    reply = f'You said "{text}" and I remember {turns} turns of this conversation.'
    return {
        "message": reply,
        "tokensUsed": len(text.split()) + len(reply.split()),
        "model": "echo-1",
        "finishReason": "stop",
    }


def _json_responder(shape: Callable[[WebhookBody], Any], status: int = 200) -> Responder:
    async def answer(call: WebhookBody, _: float) -> Response:
        return Response(msgspec.json.encode(shape(call)), status, media_type="application/json")

    return answer


def _fixed_responder(make: Callable[[], Response]) -> Responder:
    async def answer(_: WebhookBody, __: float) -> Response:
        return make()

    return answer


def _retry_after_responder(status: int) -> Responder:
    async def answer(_: WebhookBody, retry_after: float) -> Response:
        return PlainTextResponse("Slow down", status, {"Retry-After": f"{retry_after:g}"})

    return answer


async def _hang(_: WebhookBody, __: float) -> Response:
    await asyncio.sleep(HANG_S)
    return Response()


async def _trickle(_: WebhookBody, __: float) -> Response:
    async def body() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.05)

    return StreamingResponse(body(), media_type="application/json")


def _truncated_response() -> Response:
    """What a client sees of an n8n that is killed in the middle of its answer."""
    return Response(b'{"message": "', headers={"Content-Length": "4096"}, media_type="application/json")


def _encode_stream(call: WebhookBody, *, complete: bool = True) -> bytes:
    """The answer as n8n streams it: a line of JSON for each word."""
    node = {"nodeId": "agent-1", "nodeName": "AI Agent", "itemIndex": 0, "runIndex": 0, "timestamp": 1}
    words = [f"{word} " for word in echo(call)["message"].split(" ")]
    chunks = [{"type": "begin"}, *({"type": "item", "content": word} for word in words), {"type": "end"}]
    return b"".join(msgspec.json.encode({**chunk, "metadata": node}) + b"\n" for chunk in chunks)[
        : None if complete else -200
    ]


def _stream_responder(*, complete: bool) -> Responder:
    async def answer(call: WebhookBody, _: float) -> Response:
        return Response(_encode_stream(call, complete=complete), media_type="application/json")

    return answer


async def _plain(call: WebhookBody, _: float) -> Response:
    return HTMLResponse(echo(call)["message"])  # n8n names a text HTML unless told otherwise


def _not_registered_body(_: WebhookBody) -> dict[str, Any]:
    return {
        "code": 404,
        "message": 'The requested webhook "POST x" is not registered.',
        "hint": "The workflow must be active for a production URL to run successfully.",
    }


RESPONDERS: dict[str, Responder] = {
    "ok": _json_responder(echo),
    "array": _json_responder(lambda call: [echo(call)]),
    "output": _json_responder(lambda call: {"output": echo(call)["message"]}),
    "text": _json_responder(lambda call: {"text": echo(call)["message"]}),
    "response": _json_responder(lambda call: {"response": echo(call)}),
    "no-text": _json_responder(lambda _: {"tokensUsed": 3}),
    "two-items": _json_responder(lambda call: [echo(call), echo(call)]),
    "plain": _plain,
    "stream": _stream_responder(complete=True),
    "stream-cut": _stream_responder(complete=False),
    "silent": _json_responder(lambda _: {"silent": True}),
    "later": _json_responder(lambda _: {"accepted": True, "within": 60}),
    "handoff": _json_responder(lambda call: {**echo(call), "handoff": {"reason": "asked"}}),
    "image": _fixed_responder(lambda: Response(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", media_type="image/png")),
    "starting": _fixed_responder(lambda: HTMLResponse("n8n is starting up. Please wait")),
    "started": _json_responder(lambda _: {"message": "Workflow was started"}),
    "no-respond-node": _json_responder(
        lambda _: {"code": 0, "message": "No Respond to Webhook node found in the workflow"}, 500
    ),
    "empty": _fixed_responder(lambda: Response(b"", media_type="application/json")),
    "garbage": _fixed_responder(lambda: Response(b'{"message": "half an ans', media_type="application/json")),
    "html": _fixed_responder(lambda: HTMLResponse("<html><body>Log in</body></html>")),
    "huge": _fixed_responder(
        lambda: Response(b'{"message": "' + b"x" * HUGE_BODY_BYTES + b'"}', media_type="application/json")
    ),
    "redirect": _fixed_responder(
        lambda: Response(status_code=302, headers={"Location": "http://127.0.0.1:9/login"})
    ),
    "truncated": _fixed_responder(_truncated_response),
    "403": _fixed_responder(lambda: Response(b"Authorization data is wrong!", 403)),
    "404": _json_responder(_not_registered_body, 404),
    "404-html": _fixed_responder(lambda: HTMLResponse("<html><body>n8n is starting up</body></html>", 404)),
    "422": _json_responder(lambda _: {"code": 422, "message": "Failed to parse request body"}, 422),
    "429": _retry_after_responder(429),
    "500": _json_responder(lambda _: {"message": "Error in workflow"}, 500),
    "502": _fixed_responder(lambda: HTMLResponse(BAD_GATEWAY_PAGE, 502)),
    "database": _json_responder(lambda _: {"code": 503, "message": "Database is not ready!"}, 503),
    "504": _fixed_responder(lambda: HTMLResponse(BAD_GATEWAY_PAGE.replace("502 Bad", "504 Bad"), 504)),
    "503": _retry_after_responder(503),
    "hang": _hang,
    "trickle": _trickle,
}
"""By the name that a test or `POST /__control` chooses them by."""
DOWN_MODES = frozenset({"502", "503", "504", "database", "starting"})
"""The modes in which n8n does not serve at all, so that a probe gets the same answer."""
