"""Every way in which an n8n answers a webhook, well or badly, as real ones were seen to."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse

Call = dict[str, Any]
"""The body that msgctl sends."""
Answer = Callable[[Call, float], Awaitable[Response]]
"""Makes an answer from a call and the seconds to name in Retry-After."""

FOREVER = 3600.0
HUGE = 2 * 1024 * 1024


def echo(call: Call) -> dict[str, Any]:
    """A reply as the contract has it: quotes the customer, and tells how much it was reminded of."""
    text, turns = str(call.get("message", "")), len(call.get("history") or [])
    reply = f'You said "{text}" and I remember {turns} turns of this conversation.'
    return {
        "message": reply,
        "tokensUsed": len(text.split()) + len(reply.split()),
        "model": "echo-1",
        "finishReason": "stop",
    }


def _json(shape: Callable[[Call], Any], status: int = 200) -> Answer:
    async def answer(call: Call, _: float) -> Response:
        return Response(msgspec.json.encode(shape(call)), status, media_type="application/json")

    return answer


def _fixed(make: Callable[[], Response]) -> Answer:
    async def answer(_: Call, __: float) -> Response:
        return make()

    return answer


def _asks_to_wait(status: int) -> Answer:
    async def answer(_: Call, retry_after: float) -> Response:
        return PlainTextResponse("Slow down", status, {"Retry-After": f"{retry_after:g}"})

    return answer


async def _hang(_: Call, __: float) -> Response:
    await asyncio.sleep(FOREVER)
    return Response()


async def _trickle(_: Call, __: float) -> Response:
    async def body() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.05)

    return StreamingResponse(body(), media_type="application/json")


def _truncated() -> Response:
    """What a client sees of an n8n that is killed in the middle of its answer."""
    return Response(b'{"message": "', headers={"Content-Length": "4096"}, media_type="application/json")


def _not_registered(_: Call) -> dict[str, Any]:
    return {
        "code": 404,
        "message": 'The requested webhook "POST x" is not registered.',
        "hint": "The workflow must be active for a production URL to run successfully.",
    }


ANSWERS: dict[str, Answer] = {
    "ok": _json(echo),
    "array": _json(lambda call: [echo(call)]),
    "output": _json(lambda call: {"output": echo(call)["message"]}),
    "text": _json(lambda call: {"text": echo(call)["message"]}),
    "response": _json(lambda call: {"response": echo(call)}),
    "no-text": _json(lambda _: {"tokensUsed": 3}),
    "two-items": _json(lambda call: [echo(call), echo(call)]),
    "started": _json(lambda _: {"message": "Workflow was started"}),
    "no-respond-node": _json(
        lambda _: {"code": 0, "message": "No Respond to Webhook node found in the workflow"}, 500
    ),
    "empty": _fixed(lambda: Response(b"", media_type="application/json")),
    "garbage": _fixed(lambda: Response(b'{"message": "half an ans', media_type="application/json")),
    "html": _fixed(lambda: HTMLResponse("<html><body>Log in</body></html>")),
    "huge": _fixed(lambda: Response(b'{"message": "' + b"x" * HUGE + b'"}', media_type="application/json")),
    "redirect": _fixed(lambda: Response(status_code=302, headers={"Location": "http://127.0.0.1:9/login"})),
    "truncated": _fixed(_truncated),
    "403": _fixed(lambda: Response(b"Authorization data is wrong!", 403)),
    "404": _json(_not_registered, 404),
    "404-html": _fixed(lambda: HTMLResponse("<html><body>n8n is starting up</body></html>", 404)),
    "422": _json(lambda _: {"code": 422, "message": "Failed to parse request body"}, 422),
    "429": _asks_to_wait(429),
    "500": _json(lambda _: {"message": "Error in workflow"}, 500),
    "503": _asks_to_wait(503),
    "hang": _hang,
    "trickle": _trickle,
}
"""By the name that a test or `POST /__control` chooses them by."""
