"""Why a message has not been processed yet: the obstacles between it and a worker, the nearest one first."""

import time

from msgctl.domain.errors import NotFound, PostgresUnavailable
from msgctl.domain.messages import PRIORITIES, State, WireStruct
from msgctl.intake.accept import AgentDirectory
from msgctl.operations.checks.findings import Finding, Reason
from msgctl.operations.context import Context, Operation
from msgctl.operations.workers import Workers
from msgctl.queue.job import Job
from msgctl.storage.redis import keys

POSITION_SCAN_LIMIT = 10_000
"""Messages of a queue that the search for a position reads at most."""


class WaitExplanation(WireStruct, kw_only=True, frozen=True):
    """The state of a message, and the obstacles between it and a worker."""

    message_id: str
    state: State
    reasons: list[Reason]


class WaitExplainer(Operation):
    """Explains why a message is where it is."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._workers = Workers(context)

    async def explain(self, message_id: str, agents: AgentDirectory) -> WaitExplanation:
        """Say why a message is where it is.

        Args:
            message_id: the id of the message.
            agents: finds the agent of the message.

        Raises:
            NotFound: there is no such message.
        """
        job = await self._queue.find(message_id)
        if job is None:
            raise NotFound("There is no such message.")
        findings = await self._find_obstacles(job, agents)
        reasons = [finding.to_reason() for finding in findings]
        return WaitExplanation(message_id=message_id, state=job.state, reasons=reasons)

    async def _find_obstacles(self, job: Job, agents: AgentDirectory) -> list[Finding]:
        match job.state:
            case State.WAITING:
                return [
                    await self._check_position(job),
                    *await self._check_workers(job),
                    *await self._check_agent(job, agents),
                ]
            case State.DELAYED:
                return [await self._check_delay(job), *await self._check_agent(job, agents)]
            case State.ACTIVE:
                return [Finding(code="running", text=f"Worker {job.worker} runs it, at {job.progress} %.")]
            case State.COMPLETED:
                remedy = f"Its delivery: msgctl delivery show {job.message.message_id}"
                return [Finding(code="answered", text="It was answered.", remedy=remedy)]
            case State.FAILED:
                remedy = f"Replay it: msgctl dlq replay {job.message.message_id}"
                return [Finding(code="dead_letter", text=f"{_error_text(job)}.", remedy=remedy)]

    async def _check_position(self, job: Job) -> Finding:
        message = job.message
        head = await self._redis.lindex(keys.MAILBOX + message.conversation_id, 0)
        if head and head != message.message_id:
            text = f"It waits behind {head}, the head of its conversation."
            return Finding(code="behind_conversation", text=text, remedy=f"See: msgctl message why {head}")
        if await self._redis.hget(keys.job_key(message.message_id), keys.FIELD_QUARANTINED):
            text = "It may have crashed its workers. It waits in quarantine, where messages run one at a time."
            return Finding(code="quarantined", text=text)
        ahead = await self._count_ahead(message.message_id, message.priority)
        text = "1 message is ahead of it." if ahead == 1 else f"{ahead} messages are ahead of it."
        text = "It is the next one." if ahead == 0 else text
        return Finding(code="in_queue", text=text)

    async def _count_ahead(self, message_id: str, priority: int) -> int | str:
        """Return the number of messages that are processed before this one, or a phrase if there are too many."""
        queue = keys.RQ_QUEUE + keys.queue_name(priority)
        position = await self._redis.lpos(queue, message_id, maxlen=POSITION_SCAN_LIMIT)
        pipeline = self._redis.pipeline(transaction=False)
        for sooner in PRIORITIES[: priority - 1]:
            pipeline.llen(keys.RQ_QUEUE + keys.queue_name(sooner))
        before = sum(await pipeline.execute())
        return f"More than {POSITION_SCAN_LIMIT}" if position is None else before + int(position)

    async def _check_workers(self, job: Job) -> list[Finding]:
        findings = []
        priority = job.message.priority
        if keys.queue_name(priority) in await self._queue.list_paused():
            remedy = f"Resume: msgctl queue resume --priority {priority}"
            findings.append(Finding(code="paused", text=f"Priority {priority} is paused.", remedy=remedy))
        workers = await self._workers.list_alive()
        if not workers:
            remedy = "Start one: msgctl start worker"
            findings.append(Finding(code="no_worker", text="No worker is alive.", remedy=remedy))
        elif all(worker["order"] for worker in workers):
            text, remedy = "Every worker was told to drain or stop.", "Resume: msgctl worker resume --all"
            findings.append(Finding(code="workers_drained", text=text, remedy=remedy))
        elif all(worker["slots"] is not None and len(worker["running"]) >= worker["slots"] for worker in workers):
            text = f"All {len(workers)} workers are busy."
            remedy = "Raise [worker] concurrency, or start another worker."
            findings.append(Finding(code="workers_busy", text=text, remedy=remedy))
        return findings

    async def _check_agent(self, job: Job, agents: AgentDirectory) -> list[Finding]:
        try:
            agent = await agents.find(job.message.agent_id)
        except PostgresUnavailable as error:
            return [Finding(code="postgres_down", text=f"Its agent cannot be looked up: {error.message}")]
        if agent is None:
            text = "Its agent was deleted, so it will become a dead letter."
            return [Finding(code="agent_gone", text=text)]
        breaker = await self._redis.hget(keys.BREAKERS, agent.webhook_path)
        seconds = int(breaker.partition(" ")[0]) / 1000 - time.time() if breaker else 0
        if seconds <= 0:
            return []
        text = f"The workflow {agent.webhook_path} keeps failing and is not called for {seconds:.0f} s more."
        return [Finding(code="breaker_open", text=text)]

    async def _check_delay(self, job: Job) -> Finding:
        key = keys.RQ_SCHEDULED + keys.queue_name(job.message.priority)
        due = await self._redis.zscore(key, job.message.message_id)
        seconds = max(0.0, due - time.time()) if due else 0
        error = _error_text(job)
        text = f"{error}. It is tried again in {seconds:.0f} s, after {job.attempts} attempts."
        return Finding(code="limited" if "429" in error else "retry_pause", text=text)


def _error_text(job: Job) -> str:
    error = job.error or {}
    return f"{error.get('code', 'It failed')}: {error.get('text', '')}".rstrip(". ")
