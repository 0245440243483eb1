"""Strict stand-ins of Meta, Twilio, Telegram and a callback's receiver; they refuse what the real ones refuse."""

import asyncio
import base64
import email.utils
import itertools
import json
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

from msgctl.local.fakes import telegram_markup


@dataclass(frozen=True)
class Raw:
    """An answer byte for byte."""

    status: int
    body: bytes | str = b""
    headers: dict[str, str] = field(default_factory=dict)
    is_taken: bool = False
    """Whether the provider takes the message, whatever it answers."""
    missing_bytes: int = 0
    """How many bytes of the body the line is cut before."""


Answer = tuple[int, dict[str, Any]] | web.Response | Raw | str
"""A status and a JSON body, a whole response, an answer byte for byte, `hang` (no answer), `cut` (the line is cut
after reading), or `lost` (it is taken, and the line is cut instead of the answer)."""


@dataclass
class Request:
    """One request, as it came."""

    path: str
    headers: dict[str, str]
    body: bytes
    form: dict[str, str] = field(default_factory=dict)

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Providers:
    """All of them on one port; `answers` are given first, then each provider judges for itself."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answers: deque[Answer] = deque()
        self.sent_by_twilio: list[dict[str, str]] = []
        self.list_queries: list[dict[str, str]] = []
        """The queries of Twilio's list."""
        self.bot_name: str | None = None
        self.name_requests = 0
        """How often Telegram was asked for the name of the bot."""
        self.sick = False
        """Whether Telegram answers 503."""
        self.under_way = 0
        self.most_under_way = 0
        self.slow: Callable[[Request], float] = lambda _request: 0.0
        self._numbers = itertools.count(1)
        self._released = asyncio.Event()
        self._released_with: Answer | None = None

    async def __aenter__(self) -> Self:
        application = web.Application(client_max_size=1_000_000)
        application.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.host = f"{host}:{port}"
        self.url = f"http://{self.host}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._released.set()
        await self._runner.cleanup()

    def release(self, answer: Answer) -> None:
        """Give this answer to the requests that hang."""
        self._released_with = answer
        self._released.set()

    def texts(self) -> list[str]:
        """The texts of all Telegram requests, in order."""
        return [request.json["text"] for request in self.requests if "/bot" in request.path]

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        form = await request.post() if request.content_type.endswith("urlencoded") else {}
        seen = Request(
            request.path,
            dict(request.headers),
            body,
            {name: value for name, value in form.items() if isinstance(value, str)},
        )
        if request.path.endswith("/getMe"):
            self.name_requests += 1
            return web.json_response({"ok": True, "result": {"id": 77, "username": self.bot_name}})
        if request.method == "GET":
            self.list_queries.append(dict(request.query))
            return web.json_response({"messages": list(reversed(self.sent_by_twilio))})
        self.requests.append(seen)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(self.slow(seen))
            answer = self.answers.popleft() if self.answers else self._judge(seen)
            return await self._give(request, seen, answer)
        finally:
            self.under_way -= 1

    async def _give(self, request: web.Request, seen: Request, answer: Answer) -> web.StreamResponse:
        if answer == "lost":
            self._judge(seen)
        if answer == "hang":
            await self._released.wait()
            if self._released_with is not None:
                return await self._give(request, seen, self._released_with)
        if isinstance(answer, str):
            if request.transport is not None:
                request.transport.close()
            return web.Response()
        if isinstance(answer, Raw):
            return await self._give_raw(request, seen, answer)
        if isinstance(answer, web.Response):
            return answer
        status, document = answer
        return web.json_response(document, status=status)

    async def _give_raw(self, request: web.Request, seen: Request, answer: Raw) -> web.StreamResponse:
        if answer.is_taken:
            self._judge(seen)
        body = answer.body.encode() if isinstance(answer.body, str) else answer.body
        reply = web.StreamResponse(status=answer.status, headers=answer.headers)
        reply.content_length = len(body) + answer.missing_bytes
        await reply.prepare(request)
        await reply.write(body)
        if answer.missing_bytes and request.transport is not None:
            request.transport.close()
        return reply

    def _judge(self, request: Request) -> Answer:
        if self.sick and "/bot" in request.path:
            return 503, {"ok": False}
        if "/bot" in request.path:
            return self._judge_telegram(request)
        if request.path.endswith("/Messages.json"):
            return self._judge_twilio(request)
        if request.path.endswith("/messages"):
            return self._judge_meta(request)
        return 200, {}

    def _judge_telegram(self, request: Request) -> Answer:
        if request.path != "/bot123456:AAF-secret_of_the_bot/sendMessage":
            return 404, {"ok": False, "error_code": 404, "description": "Not Found"}
        message = request.json
        known = {"chat_id", "text", "parse_mode", "entities", "reply_parameters"} | {
            *("message_thread_id", "business_connection_id", "direct_messages_topic_id")
        }
        units = len(message["text"].encode("utf-16-le")) // 2
        if not set(message) <= known or not 1 <= units <= 4096 or not message["text"].strip():
            return 400, {"ok": False, "error_code": 400, "description": "Bad Request: message is too long"}
        if problem := telegram_markup.find_problem(message):
            return 400, {"ok": False, "error_code": 400, "description": f"Bad Request: {problem}"}
        return 200, {"ok": True, "result": {"message_id": next(self._numbers), "chat": {"id": 1}}}

    def _judge_twilio(self, request: Request) -> Answer:
        login = base64.b64encode(b"AC1:twilio-token").decode()
        if request.headers.get("Authorization") != f"Basic {login}" or "/Accounts/AC1/" not in request.path:
            return 401, {"code": 20003, "message": "Authenticate", "status": 401}
        if set(request.form) - {"StatusCallback"} != {"From", "To", "Body"}:
            return 400, {"code": 21604, "message": "A parameter is wrong", "status": 400}
        if len(request.form["Body"]) > 1600:
            return 400, {"code": 21617, "message": "Too long", "status": 400}
        sid = f"SM{next(self._numbers)}"
        form = request.form
        date = email.utils.formatdate(usegmt=True)
        self.sent_by_twilio.append({"sid": sid, "body": form["Body"], "from": form["From"], "date_created": date})
        return 201, {"sid": sid, "status": "queued"}

    def _judge_meta(self, request: Request) -> Answer:
        if request.headers.get("Authorization") != "Bearer meta-token":
            return 401, {"error": {"code": 190, "message": "Invalid OAuth access token"}}
        message = request.json
        needed = {"messaging_product", "recipient_type", "type", "text", "biz_opaque_callback_data"}
        receiver = set(message) - needed
        if (
            receiver not in ({"to"}, {"recipient"})
            or not needed <= set(message)
            or not 1 <= len(message["text"]["body"]) <= 4096
        ):
            return 400, {"error": {"code": 100, "message": "Invalid parameter"}}
        if message.get("to", "").startswith("BR."):
            return 400, {"error": {"code": 100, "message": "A user id is no phone number"}}
        return 200, {"messaging_product": "whatsapp", "messages": [{"id": f"wamid.{next(self._numbers)}"}]}


def recorded(requests: Iterable[Request], name: str) -> list[str]:
    """One header of each request."""
    return [request.headers[name] for request in requests]
