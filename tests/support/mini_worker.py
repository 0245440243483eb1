"""A worker inside the test's own process: claims, processes, maintains the queue, and watches n8n."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from msgctl.agents.agents import Agents
from msgctl.aio import background
from msgctl.config.settings import Settings
from msgctl.processing.breakers import CircuitBreakers
from msgctl.processing.n8n import WorkflowClient
from msgctl.processing.outage_gate import OutageWatch
from msgctl.processing.pipeline import Pipeline
from msgctl.queue.leases import LeaseClient
from msgctl.queue.progress import ProgressWriter

CLAIM_INTERVAL_S = 0.05
MAINTENANCE_INTERVAL_S = 0.2


@asynccontextmanager
async def mini_worker(settings: Settings, redis: Any, agents: Agents, name: str = "w1") -> AsyncIterator[None]:
    """Run a worker of 50 slots within the context."""
    leases, breakers = LeaseClient(redis, settings, name), CircuitBreakers(redis, settings)
    async with WorkflowClient(settings) as workflow, asyncio.TaskGroup() as running:
        pipeline = Pipeline(
            settings,
            leases=leases,
            progress=ProgressWriter(redis),
            agents=agents,
            breakers=breakers,
            workflow=workflow,
        )

        async def claim() -> None:
            while True:
                for leased in await leases.claim(50):
                    running.create_task(pipeline.process(leased))
                await asyncio.sleep(CLAIM_INTERVAL_S)

        async def maintain() -> None:
            while True:
                await breakers.refresh()
                await leases.maintain()
                await asyncio.sleep(MAINTENANCE_INTERVAL_S)

        async with background(claim(), maintain(), OutageWatch(redis, name, workflow.probe).run()):
            yield
