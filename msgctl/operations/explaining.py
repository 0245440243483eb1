"""Why a message has not run yet: what stands between it and a worker, the nearest obstacle first."""

import time

from msgctl import contracts
from msgctl.errors import NotFound, PostgresUnavailable
from msgctl.intake import AgentDirectory
from msgctl.messages import PRIORITIES, Record, State
from msgctl.operations.context import Context
from msgctl.operations.health import Reason
from msgctl.operations.workers import Workers
from msgctl.rqueue.job import Job

FAR = 10_000
"""Messages of a queue that are looked through for a position."""


class Explanation(Record, kw_only=True, frozen=True):
    """What is known of a message's way to a worker."""

    message_id: str
    state: State
    reasons: list[Reason]


class Explaining:
    """Explains.

    Args:
        context: the pipeline it works on.
    """

    def __init__(self, context: Context) -> None:
        self._redis = context.redis
        self._queue = context.queue
        self._workers = Workers(context)

    async def why(self, message_id: str, agents: AgentDirectory) -> Explanation:
        """Say why a message is where it is.

        Raises:
            NotFound: there is no such message.
        """
        job = await self._queue.find(message_id)
        if job is None:
            raise NotFound("There is no such message.")
        match job.state:
            case State.WAITING:
                reasons = [*await self._place(job), *await self._crew(job), *await self._breaker(job, agents)]
            case State.DELAYED:
                reasons = [await self._pause(job), *await self._breaker(job, agents)]
            case State.ACTIVE:
                text = f"Worker {job.worker} runs it, at {job.progress} %."
                reasons = [Reason(code="running", message=text)]
            case State.COMPLETED:
                text = f"It was answered. Its delivery: msgctl delivery show {message_id}"
                reasons = [Reason(code="answered", message=text)]
            case State.FAILED:
                text = f"{_error(job)}. Put it back to work: msgctl dlq replay {message_id}"
                reasons = [Reason(code="dead_letter", message=text)]
        return Explanation(message_id=message_id, state=job.state, reasons=reasons)

    async def _place(self, job: Job) -> list[Reason]:
        message = job.message
        head = await self._redis.lindex(contracts.MAILBOX + message.conversation_id, 0)
        quarantined = await self._redis.hget(contracts.job_key(message.message_id), contracts.FIELD_QUARANTINED)
        if head and head != message.message_id:
            text = f"It waits behind {head}, the head of its conversation. See: msgctl message why {head}"
            return [Reason(code="behind_conversation", message=text)]
        if quarantined:
            text = "It may have killed its workers and runs alone, in quarantine, when its turn comes."
            return [Reason(code="quarantined", message=text)]
        ahead = await self._ahead(message.message_id, message.priority)
        text = "It is the next one." if ahead == 0 else f"{ahead} messages are ahead of it."
        text = "1 message is ahead of it." if ahead == 1 else text
        return [Reason(code="in_queue", message=text)]

    async def _ahead(self, message_id: str, priority: int) -> int | str:
        queue = contracts.RQ_QUEUE + contracts.queue_name(priority)
        place = await self._redis.lpos(queue, message_id, maxlen=FAR)
        pipeline = self._redis.pipeline(transaction=False)
        for sooner in PRIORITIES[: priority - 1]:
            pipeline.llen(contracts.RQ_QUEUE + contracts.queue_name(sooner))
        before = sum(await pipeline.execute())
        return f"More than {FAR}" if place is None else before + int(place)

    async def _crew(self, job: Job) -> list[Reason]:
        reasons = []
        priority = job.message.priority
        if contracts.queue_name(priority) in await self._queue.paused():
            text = f"Priority {priority} is paused. Go on: msgctl queue resume --priority {priority}"
            reasons.append(Reason(code="paused", message=text))
        alive = await self._workers.alive()
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

    async def _breaker(self, job: Job, agents: AgentDirectory) -> list[Reason]:
        try:
            agent = await agents.find(job.message.agent_id)
        except PostgresUnavailable as error:
            return [Reason(code="postgres_down", message=f"Its agent cannot be looked up: {error.message}")]
        if agent is None:
            return [Reason(code="agent_gone", message="Its agent is gone; it will become a dead letter.")]
        found = await self._redis.hget(contracts.BREAKERS, agent.webhook_path)
        seconds = int(found.partition(" ")[0]) / 1000 - time.time() if found else 0
        if seconds <= 0:
            return []
        text = f"The workflow {agent.webhook_path} keeps failing and is left alone for {seconds:.0f} s more."
        return [Reason(code="breaker_open", message=text)]

    async def _pause(self, job: Job) -> Reason:
        key = contracts.RQ_SCHEDULED + contracts.queue_name(job.message.priority)
        due = await self._redis.zscore(key, job.message.message_id)
        seconds = max(0.0, due - time.time()) if due else 0
        text = f"{_error(job)}. It is tried again in {seconds:.0f} s, after {job.attempts} charged attempts."
        return Reason(code="limited" if "429" in _error(job) else "retry_pause", message=text)


def _error(job: Job) -> str:
    error = job.error or {}
    return f"{error.get('code', 'It failed')}: {error.get('text', '')}".rstrip(". ")
