"""A stand-in for n8n: answers every webhook with an echo, or in any of the ways a real one fails.

    python -m msgctl.local.fakes.n8n --port 5678 --delay 300 --fail-once 0.1

What it was asked is told at GET /__control; POST /__control changes how it answers.
"""

import argparse
import asyncio
import socket
import zlib
from collections import Counter, defaultdict
from typing import Any, Self

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from msgctl.local.fakes.http_server import HttpServer, serve_process
from msgctl.local.fakes.n8n_responses import DOWN_MODES, RESPONDERS
from msgctl.local.supervisor import ports

MAX_RECORDED_REQUESTS = 1000


class N8nBehavior(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """How the stand-in answers."""

    mode: str = "ok"
    """A name in `ANSWERS`."""
    times: int = 0
    """How many calls get that answer before it is `ok` again; 0: all."""
    delay: float = 0.0
    """Milliseconds before each answer."""
    fail_once: float = 0.0
    """The share of messages, 0 to 1, whose first call is answered with 500; which ones depends on the id alone."""
    retry_after: float = 1.0
    """Seconds that 429 and 503 ask to wait."""

    def __post_init__(self) -> None:
        """Refuse what cannot be answered."""
        if self.mode not in RESPONDERS:
            raise ValueError(f"mode must be one of {', '.join(RESPONDERS)}")


class FakeN8n:
    """The stand-in inside this process: `async with N8nStandIn() as n8n: … n8n.url …`.

    Args:
        port: the port on 127.0.0.1; None takes a free one.
        behaviour: how it answers; may be replaced at any time.
    """

    def __init__(self, port: int | None = None, behaviour: N8nBehavior | None = None) -> None:
        self.app = Starlette(
            routes=[
                Route("/webhook/{path:path}", self._respond, methods=["POST", "GET"]),
                Route("/__control", self._report_state, methods=["GET"]),
                Route("/__control", self._change_behavior, methods=["POST"]),
            ]
        )
        self._server = HttpServer(self.app, port)
        self.reset(behaviour)

    def reset(self, behaviour: N8nBehavior | None = None) -> None:
        """Forget what was asked, and answer as told (by default: well, and at once)."""
        self.behavior = behaviour or N8nBehavior()
        self.calls_by_message: Counter[str] = Counter()
        """Calls by message id."""
        self.call_order: dict[str, list[str]] = defaultdict(list)
        """By conversation: the message ids in the order in which they were called, repeats included."""
        self.answer_order: dict[str, list[str]] = defaultdict(list)
        """By conversation: the message ids in the order in which they were answered with a success."""
        self.requests: list[dict[str, Any]] = []
        """The first thousand calls as `{path, headers, body}`."""

    @property
    def url(self) -> str:
        """The base URL, for `n8n.base_url`."""
        return self._server.url

    async def __aenter__(self) -> Self:
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop()

    async def _respond(self, request: Request) -> Response:
        if request.method == "GET":
            return await self._answer_probe()
        call: dict[str, Any] = msgspec.json.decode(await request.body())
        message_id, conversation = str(call.get("messageId")), str(call.get("conversationId"))
        self.calls_by_message[message_id] += 1
        self.call_order[conversation].append(message_id)
        if len(self.requests) < MAX_RECORDED_REQUESTS:
            headers = dict(request.headers)
            self.requests.append({"path": request.url.path, "headers": headers, "body": call})
        mode = self._choose_mode(message_id)
        if self.behavior.delay:
            await asyncio.sleep(self.behavior.delay / 1000)
        answer = await RESPONDERS[mode](call, self.behavior.retry_after)
        if answer.status_code == 200:
            self.answer_order[conversation].append(message_id)
        return answer

    async def _answer_probe(self) -> Response:
        """Answer a webhook that does not exist: as n8n does, or as a proxy before an n8n that is down."""
        mode = self.behavior.mode if self.behavior.mode in DOWN_MODES else "404"
        return await RESPONDERS[mode]({}, self.behavior.retry_after)

    def _choose_mode(self, message_id: str) -> str:
        behaviour = self.behavior
        if self.calls_by_message[message_id] == 1 and _hash_fraction(message_id) < behaviour.fail_once:
            return "500"
        mode = behaviour.mode
        if behaviour.times:
            last = behaviour.times == 1
            self.behavior = msgspec.structs.replace(
                behaviour, times=behaviour.times - 1, mode="ok" if last else mode
            )
        return mode

    async def _report_state(self, _: Request) -> Response:
        return _to_json_response(
            {
                "calls": self.calls_by_message.total(),
                "perMessage": self.calls_by_message,
                "order": self.call_order,
                "answered": self.answer_order,
                "requests": self.requests,
                "behaviour": self.behavior,
            }
        )

    async def _change_behavior(self, request: Request) -> Response:
        """Change what the body names of the behaviour; `{"reset": true}` begins anew."""
        try:
            wanted = msgspec.json.decode(await request.body(), type=dict[str, Any])
            if wanted.pop("reset", False):
                self.reset()
            self.behavior = msgspec.convert(msgspec.to_builtins(self.behavior) | wanted, N8nBehavior)
        except (msgspec.MsgspecError, ValueError) as error:
            return _to_json_response({"error": str(error)}, 422)
        return _to_json_response(self.behavior)


def _hash_fraction(message_id: str) -> float:
    """A number in [0, 1) that is always the same for an id."""
    return zlib.crc32(message_id.encode()) / 2**32


def _to_json_response(content: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type="application/json")


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m msgctl.local.fakes.n8n", description="A stand-in for n8n.")
    parser.add_argument("--port", type=int, default=5678, help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--fd", type=int, help="serve on this inherited listening socket instead")
    parser.add_argument("--mode", choices=RESPONDERS, default="ok", help="how to answer")
    parser.add_argument("--delay", type=float, default=0, metavar="MS", help="milliseconds before each answer")
    parser.add_argument("--fail-once", type=float, default=0, metavar="RATIO", help="share that fails at first")
    arguments = parser.parse_args()
    listener = (
        socket.socket(fileno=arguments.fd)
        if arguments.fd is not None
        else ports.open_listener(ports.LOOPBACK, arguments.port)
    )
    behaviour = N8nBehavior(mode=arguments.mode, delay=arguments.delay, fail_once=arguments.fail_once)
    serve_process(FakeN8n(behaviour=behaviour).app, listener)


if __name__ == "__main__":
    main()
