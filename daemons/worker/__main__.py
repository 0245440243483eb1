"""The entry point of the worker, `python -m daemons.worker`: build its parts and run its loop."""

import argparse
import contextlib
import os
import secrets
import socket
from collections.abc import AsyncIterator
from functools import partial

from daemons.runtime.lifecycle import Lifecycle, argument_parser, main
from daemons.runtime.metrics_server import serve_metrics
from daemons.runtime.watchdog import WORKER_STAGES, LivenessTracker, StageCheck, count_waiting, watchdog_task
from daemons.worker.audit_task import audit_task
from daemons.worker.loop import WAKE_TIMEOUT_S, WorkLoop
from daemons.worker.quarantine import ParentWatcher
from msgctl.agents.agents import Agents
from msgctl.aio import background
from msgctl.config.settings import Settings
from msgctl.observability import logs
from msgctl.processing.breakers import CircuitBreakers
from msgctl.processing.n8n import WorkflowClient
from msgctl.processing.outage_gate import OutageWatch
from msgctl.processing.pipeline import Pipeline
from msgctl.queue.audit import MailboxAuditor
from msgctl.queue.leases import LeaseClient
from msgctl.queue.progress import ProgressWriter
from msgctl.queue.rq_registration import RqRegistration
from msgctl.storage.redis.compatibility import check_server
from msgctl.storage.redis.connections import blocking_client, connect
from msgctl.storage.redis.durability import DurabilityMonitor
from msgctl.storage.redis.faults import REDIS_FAULTS

log = logs.get_logger(__name__)


async def serve(settings: Settings, lifecycle: Lifecycle, *, quarantine: int | None = None) -> None:
    """Run a worker until `lifecycle.stopping`, or a quarantine child until the quarantine is empty.

    Args:
        settings: the whole configuration.
        lifecycle: the signals that stop this process.
        quarantine: the process id of the parent of a quarantine child. None runs a normal worker.

    Raises:
        ConfigurationError: Redis cannot be used, or may lose messages (`redis.accept_data_loss`).
        RedisUnavailable: Redis does not answer at the start. Later outages are retried.
    """
    kind = "worker" if quarantine is None else "quarantine"
    name = f"{kind}-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
    async with contextlib.AsyncExitStack() as stack:
        redis = await stack.enter_async_context(connect(settings))
        blocking = await stack.enter_async_context(blocking_client(settings, max_block_s=WAKE_TIMEOUT_S))
        await check_server(redis, settings)
        liveness = LivenessTracker()
        leases, progress = LeaseClient(redis, settings, name), ProgressWriter(redis)
        breakers = CircuitBreakers(redis, settings)
        workflow = await stack.enter_async_context(WorkflowClient(settings))
        pipeline = Pipeline(
            settings,
            leases=leases,
            progress=progress,
            agents=await stack.enter_async_context(Agents(settings)),
            breakers=breakers,
            workflow=workflow,
        )
        registration = await stack.enter_async_context(
            rq_registration(settings, name, settings.worker.concurrency if quarantine is None else 1)
        )
        periodic_tasks = [breakers.refresh, DurabilityMonitor(redis, settings).check]
        if quarantine is not None:
            periodic_tasks.append(ParentWatcher(quarantine, lifecycle).check)
        else:
            await stack.enter_async_context(serve_metrics(redis, settings))
            await stack.enter_async_context(audit_task(MailboxAuditor(redis)))
            await stack.enter_async_context(background(OutageWatch(redis, name, workflow.probe).run()))
        loop = WorkLoop(
            settings,
            name,
            leases=leases,
            progress=progress,
            pipeline=pipeline,
            register=registration.register,
            periodic_tasks=periodic_tasks,
            waiting=blocking,
            liveness=liveness,
        )

        async def status() -> str:
            waiting = await count_waiting(redis)
            loop.expect_claims(waiting.claimable)
            return f"{loop.running_count}/{settings.worker.concurrency} slots, {waiting.total} waiting"

        log.info("Worker ready", worker=name, concurrency=settings.worker.concurrency)
        lifecycle.notify_ready(f"{name}: {settings.worker.concurrency} slots")
        run = loop.run if quarantine is None else loop.run_quarantine
        stage_check = (
            None
            if quarantine
            else StageCheck(settings, redis, liveness, name=name, stages=WORKER_STAGES, loop="claiming")
        )
        async with watchdog_task(settings, liveness, status, stage_check=stage_check):
            await run(lifecycle.stopping, lifecycle.force_stop)


@contextlib.asynccontextmanager
async def rq_registration(settings: Settings, name: str, slots: int) -> AsyncIterator[RqRegistration]:
    """Register this worker with RQ while the context lasts."""
    registration = RqRegistration(settings, name, slots)
    await registration.register()
    try:
        yield registration
    finally:
        with contextlib.suppress(*REDIS_FAULTS):
            await registration.deregister()


def parse_arguments() -> argparse.Namespace:
    """Parse the command line of the worker."""
    parser = argument_parser("worker")
    parser.add_argument(
        "--quarantine",
        type=int,
        metavar="PID",
        help="process the quarantine as the child of this worker, then exit",
    )
    return parser.parse_args()


if __name__ == "__main__":
    arguments = parse_arguments()
    main("worker", partial(serve, quarantine=arguments.quarantine), arguments)
