"""One trace a message, through every process; and nothing at all where nobody asked for it."""

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import aiohttp
import pytest
from aiohttp import web

from msgctl.agents.agents import Agents
from msgctl.auth.tokens import issue
from msgctl.config.settings import Settings
from msgctl.local.fakes.n8n import FakeN8n
from msgctl.observability import tracing
from msgctl.storage.redis.client import RedisClient
from tools.support.daemons import Daemon, until

pytest.importorskip("opentelemetry.sdk", reason="the extra `tracing` is not installed")
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span  # noqa: TC002 - imported behind the skip


class Collector:
    """Takes spans as an OpenTelemetry collector does."""

    def __init__(self) -> None:
        self.spans: dict[str, list[Span]] = {}
        """By service."""
        self.address = ""

    async def take(self, request: web.Request) -> web.Response:
        """One export."""
        export = ExportTraceServiceRequest.FromString(await request.read())
        for resource in export.resource_spans:
            service = next(
                one.value.string_value for one in resource.resource.attributes if one.key == "service.name"
            )
            found = [span for scope in resource.scope_spans for span in scope.spans]
            self.spans.setdefault(service, []).extend(found)
        return web.Response()

    def names(self, service: str) -> set[str]:
        """The spans a service has sent."""
        return {span.name for span in self.spans.get(service, [])}


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    """A collector that listens."""
    taken = Collector()
    application = web.Application()
    application.router.add_post("/v1/traces", taken.take)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    taken.address = f"http://{host}:{port}"
    yield taken
    await runner.cleanup()


async def test_one_trace_from_the_request_to_the_delivery(
    settings: Settings, redis: RedisClient, collector: Collector, n8n: FakeN8n
) -> None:
    """Gateway, worker and subscriber speak of one trace, whose id n8n is given too."""
    traced = settings.model_copy(
        update={"tracing": settings.tracing.model_copy(update={"endpoint": collector.address})}
    )
    async with Agents(settings) as agents:
        agent = await agents.add(user_id="ana", name="Ana", webhook_path="chat")
    async with AsyncExitStack() as stack:
        for name in ("worker", "subscriber"):
            await stack.enter_async_context(Daemon(name, traced))
        gateway = await stack.enter_async_context(Daemon("gateway", traced))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        url = f"http://{gateway.status.rpartition('http://')[2]}/api/messages"
        body = {"agentId": agent.id, "message": "hello", "messageId": "m"}
        headers = {"Authorization": f"Bearer {issue(settings, 'ana', 600)}"}
        async with http.post(url, json=body, headers=headers) as answer:
            assert answer.status == 202
        await until(lambda: "deliver" in collector.names("msgctl-subscriber"), "the span of the delivery")
        await until(
            lambda: {"work", "n8n", "publish"} <= collector.names("msgctl-worker"), "the spans of the worker"
        )
        await until(lambda: "accept" in collector.names("msgctl-gateway"), "the span of the gateway")
    everything = [span for found in collector.spans.values() for span in found]
    trace_id, root_id = tracing.derive_trace_ids("m")
    assert {int.from_bytes(span.trace_id) for span in everything} == {trace_id}
    by_name = {span.name: span for span in everything}
    assert int.from_bytes(by_name["accept"].span_id) == root_id
    assert by_name["accept"].parent_span_id == b""
    assert by_name["work"].parent_span_id == by_name["deliver"].parent_span_id == by_name["accept"].span_id
    assert by_name["n8n"].parent_span_id == by_name["publish"].parent_span_id == by_name["work"].span_id
    _, told_trace, told_span, _ = n8n.requests[0]["headers"]["traceparent"].split("-")
    assert (told_trace, told_span) == (f"{trace_id:032x}", by_name["n8n"].span_id.hex())


def test_nothing_is_imported_while_it_is_off() -> None:
    """Without a collector, all of msgctl imports no more of OpenTelemetry than redis-py does by itself."""
    program = (
        "import sys, redis.asyncio\n"
        "ours = ('opentelemetry', 'msgctl.observability.tracing.otel')\n"
        "found = lambda: {name for name in sys.modules if name.startswith(ours)}\n"
        "before = found()\n"
        "from msgctl.observability import tracing\n"
        "from msgctl.config.settings import Settings\n"
        "import daemons.worker.__main__, daemons.gateway.app, daemons.subscriber.__main__, msgctl.operations\n"
        "tracing.start(Settings(), daemon='worker')\n"
        "with tracing.span('work', 'm'): tracing.traceparent('m')\n"
        "print(sorted(found() - before))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
