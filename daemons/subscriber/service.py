"""The subscriber as a whole: its parts, and its run from the first check to the last delivery."""

import contextlib
import os
import secrets
import socket

from daemons.runtime.lifecycle import Lifecycle
from daemons.runtime.metrics_server import serve_metrics
from daemons.runtime.watchdog import SUBSCRIBER_STAGES, LivenessTracker, StageCheck, watchdog_task
from daemons.subscriber.canary_task import canary_task
from daemons.subscriber.ledger_task import ledger_task
from daemons.subscriber.loop import DeliveryLoop
from msgctl.config.settings import Settings
from msgctl.delivery.external_responses import ExternalResponseImporter
from msgctl.delivery.response_stream import ResponseStream
from msgctl.delivery.router import ResponseRouter, create_senders
from msgctl.http.client import HttpClient
from msgctl.http.ssrf_guard import guarded_connector
from msgctl.observability import logs
from msgctl.storage.redis.compatibility import check_server
from msgctl.storage.redis.connections import connect

log = logs.get_logger(__name__)


async def serve(settings: Settings, lifecycle: Lifecycle) -> None:
    """Run a subscriber until `lifecycle.stopping`.

    Args:
        settings: the whole configuration.
        lifecycle: the signals that stop this process.

    Raises:
        ConfigurationError: Redis cannot be used, or may lose messages (`redis.accept_data_loss`).
        RedisUnavailable: Redis does not answer at the start. Later outages are retried.
    """
    name = f"subscriber-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
    async with contextlib.AsyncExitStack() as stack:
        redis = await stack.enter_async_context(connect(settings))
        await check_server(redis, settings)
        client = await stack.enter_async_context(HttpClient(settings))
        guarded_client = await stack.enter_async_context(HttpClient(settings, guarded_connector()))
        stream = ResponseStream(redis, settings, name)
        stack.push_async_callback(stream.close)
        importer = ExternalResponseImporter(redis, settings)
        stack.push_async_callback(importer.close)
        router = ResponseRouter(redis, settings, stream, create_senders(settings, client, guarded_client))
        await stream.ensure_group()
        await stream.maintain()
        await stack.enter_async_context(ledger_task(redis, settings))
        await stack.enter_async_context(canary_task(redis, settings))
        await stack.enter_async_context(serve_metrics(redis, settings))
        log.info("Subscriber ready", subscriber=name, concurrency=settings.delivery.concurrency)
        lifecycle.notify_ready(f"{name}: {settings.delivery.concurrency} slots a channel")

        async def status() -> str:
            pending = await stream.count_pending()
            return f"{len(stream.in_flight)} in flight here, {pending} not settled in all"

        liveness = LivenessTracker()
        stage_check = StageCheck(settings, redis, liveness, name=name, stages=SUBSCRIBER_STAGES, loop="reading")
        async with watchdog_task(settings, liveness, status, stage_check=stage_check):
            await DeliveryLoop(settings, stream, router, importer, liveness).run(lifecycle)
