"""Why a message has not run yet: what stands between it and a worker, the nearest obstacle first."""

import time

from msgctl.domain.errors import NotFound, PostgresUnavailable
from msgctl.domain.messages import PRIORITIES, State, WireStruct
from msgctl.intake.accept import AgentDirectory
from msgctl.operations.checks.health import Reason
from msgctl.operations.context import Context
from msgctl.operations.workers import Workers
from msgctl.queue.job import Job
from msgctl.storage.redis import keys

POSITION_SCAN_LIMIT = 10_000
"""Messages of a queue that are looked through for a position."""


class WaitExplanation(WireStruct, kw_only=True, frozen=True):
    """What is known of a message's way to a worker."""

    message_id: str
    state: State
    reasons: list[Reason]


class WaitExplainer:
    """Explains.

    Args:
        context: the pipeline it works on.
    """

    def __init__(self, context: Context) -> None:
        self._redis = context.redis
        self._queue = context.queue
        self._workers = Workers(context)

    async def explain(self, message_id: str, agents: AgentDirectory) -> WaitExplanation:
        """Say why a message is where it is.

        Raises:
            NotFound: there is no such message.
        """
        job = await self._queue.find(message_id)
        if job is None:
            raise NotFound("There is no such message.")
        match job.state:
            case State.WAITING:
                reasons = [
                    *await self._position_reasons(job),
                    *await self._worker_reasons(job),
                    *await self._breaker_reasons(job, agents),
                ]
            case State.DELAYED:
                reasons = [await self._delay_reason(job), *await self._breaker_reasons(job, agents)]
            case State.ACTIVE:
                text = f"Worker {job.worker} runs it, at {job.progress} %."
                reasons = [Reason(code="running", message=text)]
            case State.COMPLETED:
                text = f"It was answered. Its delivery: msgctl delivery show {message_id}"
                reasons = [Reason(code="answered", message=text)]
            case State.FAILED:
                text = f"{_error_text(job)}. Put it back to work: msgctl dlq replay {message_id}"
                reasons = [Reason(code="dead_letter", message=text)]
        return WaitExplanation(message_id=message_id, state=job.state, reasons=reasons)

    async def _position_reasons(self, job: Job) -> list[Reason]:
        message = job.message
        head = await self._redis.lindex(keys.MAILBOX + message.conversation_id, 0)
        quarantined = await self._redis.hget(keys.job_key(message.message_id), keys.FIELD_QUARANTINED)
        if head and head != message.message_id:
            text = f"It waits behind {head}, the head of its conversation. See: msgctl message why {head}"
            return [Reason(code="behind_conversation", message=text)]
        if quarantined:
            text = "It may have killed its workers and runs alone, in quarantine, when its turn comes."
            return [Reason(code="quarantined", message=text)]
        ahead = await self._count_ahead(message.message_id, message.priority)
        text = "It is the next one." if ahead == 0 else f"{ahead} messages are ahead of it."
        text = "1 message is ahead of it." if ahead == 1 else text
        return [Reason(code="in_queue", message=text)]

    async def _count_ahead(self, message_id: str, priority: int) -> int | str:
        queue = keys.RQ_QUEUE + keys.queue_name(priority)
        place = await self._redis.lpos(queue, message_id, maxlen=POSITION_SCAN_LIMIT)
        pipeline = self._redis.pipeline(transaction=False)
        for sooner in PRIORITIES[: priority - 1]:
            pipeline.llen(keys.RQ_QUEUE + keys.queue_name(sooner))
        before = sum(await pipeline.execute())
        return f"More than {POSITION_SCAN_LIMIT}" if place is None else before + int(place)

    async def _worker_reasons(self, job: Job) -> list[Reason]:
        reasons = []
        priority = job.message.priority
        if keys.queue_name(priority) in await self._queue.list_paused():
            text = f"Priority {priority} is paused. Go on: msgctl queue resume --priority {priority}"
            reasons.append(Reason(code="paused", message=text))
        alive = await self._workers.list_alive()
        if not alive:
            text = "No worker is alive. Start one: msgctl start worker"
            reasons.append(Reason(code="no_worker", message=text))
        elif all(worker["order"] for worker in alive):
            text = "Every worker was told to take nothing new. Go on: msgctl worker resume --all"
            reasons.append(Reason(code="workers_drained", message=text))
        elif all(worker["slots"] is not None and len(worker["running"]) >= worker["slots"] for worker in alive):
            text = f"All {len(alive)} workers are busy. More at once: [worker] concurrency, or another worker"
            reasons.append(Reason(code="workers_busy", message=text))
        return reasons

    async def _breaker_reasons(self, job: Job, agents: AgentDirectory) -> list[Reason]:
        try:
            agent = await agents.find(job.message.agent_id)
        except PostgresUnavailable as error:
            return [Reason(code="postgres_down", message=f"Its agent cannot be looked up: {error.message}")]
        if agent is None:
            return [Reason(code="agent_gone", message="Its agent is gone; it will become a dead letter.")]
        found = await self._redis.hget(keys.BREAKERS, agent.webhook_path)
        seconds = int(found.partition(" ")[0]) / 1000 - time.time() if found else 0
        if seconds <= 0:
            return []
        text = f"The workflow {agent.webhook_path} keeps failing and is left alone for {seconds:.0f} s more."
        return [Reason(code="breaker_open", message=text)]

    async def _delay_reason(self, job: Job) -> Reason:
        key = keys.RQ_SCHEDULED + keys.queue_name(job.message.priority)
        due = await self._redis.zscore(key, job.message.message_id)
        seconds = max(0.0, due - time.time()) if due else 0
        text = f"{_error_text(job)}. It is tried again in {seconds:.0f} s, after {job.attempts} charged attempts."
        return Reason(code="limited" if "429" in _error_text(job) else "retry_pause", message=text)


def _error_text(job: Job) -> str:
    error = job.error or {}
    return f"{error.get('code', 'It failed')}: {error.get('text', '')}".rstrip(". ")
