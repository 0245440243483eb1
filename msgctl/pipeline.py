"""What happens to a message: the six steps.

A message comes in by `intake` (HTTP, WebSocket or command line), which stores it in Redis and answers at once.
A worker (`daemons/worker`) claims it under a lease and hands it to `Pipeline.work` below. What the agent says is
committed in one step: the job is finished, the conversation remembers both turns, and the response lies in a
durable stream. From there a subscriber (`daemons/subscriber`) takes it to the channel the message came from
(`delivery`): for the web, to the gateway that holds the socket; where that socket is there and its turn has come,
the commit itself has done so.

    1. find the agent         in PostgreSQL     10 %
    2. read the history       in Redis          20 %   (it came with the claim)
    3. prepare the payload    for n8n           30 %
    4. call the workflow      n8n               50 %
    5. publish the response   in Redis          80 %
    6. done                                    100 %

A step that fails ends the attempt. `retry.decide` says what becomes of the message: another attempt after a pause,
a wait for something that is down, or the dead letters. Of those its sender's sockets are told, by the same stream
(`rqueue/lua/fail.lua`). `msgctl dlq replay` gives one a fresh budget, and it starts over
(`rqueue/lua/replay.lua`).
"""

import logging
import random

import msgspec

from msgctl import logs, retry, spans
from msgctl.agents.agent import Agent
from msgctl.agents.store import Agents
from msgctl.breakers.breakers import Breakers
from msgctl.clock import timestamp
from msgctl.config.settings import Settings
from msgctl.delivery.outage import Outage
from msgctl.errors import (
    AgentGone,
    AttemptFailed,
    DependencyDown,
    LeaseLost,
    RedisUnavailable,
    Unavailable,
)
from msgctl.messages import CANARY_AGENT, Draft, Failure, Message, Reply, Turn
from msgctl.metrics import definitions as metrics
from msgctl.metrics.steps import Steps
from msgctl.rqueue.claims import Claimed, Claims
from msgctl.rqueue.progress import Progress
from msgctl.steps import (
    CALL_WORKFLOW,
    DONE,
    FIND_AGENT,
    PREPARE_PAYLOAD,
    PUBLISH_RESPONSE,
    READ_HISTORY,
    Step,
)
from msgctl.workflow import Answer, Workflow, prepare_payload

log = logs.get(__name__)


class Pipeline:
    """Works one message at a time; any number of `work` calls run side by side.

    Args:
        settings: `retry.*`.
        claims: the lease under which everything is written.
        progress: told of each step; what it has not written when a message is answered goes with the commit.
        agents, breakers, workflow: what the steps ask.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        claims: Claims,
        progress: Progress,
        agents: Agents,
        breakers: Breakers,
        workflow: Workflow,
    ) -> None:
        self._claims = claims
        self._progress = progress
        self._agents = agents
        self._breakers = breakers
        self._workflow = workflow
        self._policy = settings.retry.policy()

    async def work(self, claimed: Claimed) -> None:
        """Take a message through the six steps, or through the failure of one of them.

        Whatever happens, it ends in a commit or in a recorded failure; it returns only once that is written.
        """
        message, steps = claimed.message, Steps()
        with (
            logs.bound(
                messageId=message.message_id,
                conversationId=message.conversation_id,
                attempt=claimed.attempts + 1,
                step=steps.current,
            ),
            spans.of("work", message.message_id, attempt=claimed.attempts + 1, run=claimed.run),
        ):
            await self._work(claimed, steps)

    async def _work(self, claimed: Claimed, steps: Steps) -> None:
        try:
            await self._take_steps(claimed, steps)
        except LeaseLost:
            metrics.ATTEMPTS.labels("lease_lost").inc()
            log.warning("Lease lost", run=claimed.run)
        except AttemptFailed as failure:
            await self._end_attempt(claimed, failure, steps)
        except Unavailable as outage:
            await self._end_attempt(claimed, DependencyDown(outage.message), steps)
        except Exception as bug:  # whatever it is, it ends this attempt, never the worker
            log.exception("A step broke")
            fault = AttemptFailed(f"msgctl itself failed ({type(bug).__name__}); the log has the traceback.")
            await self._end_attempt(claimed, fault, steps)

    async def _take_steps(self, claimed: Claimed, steps: Steps) -> None:
        message = claimed.message

        self._reach(claimed, steps, FIND_AGENT)
        agent = await self._find_agent(message)

        self._reach(claimed, steps, READ_HISTORY)
        history = claimed.history  # CLAIM has brought it along, which saves a round trip to Redis

        self._reach(claimed, steps, PREPARE_PAYLOAD)
        payload = prepare_payload(agent, message, history)

        self._reach(claimed, steps, CALL_WORKFLOW)
        answer = Answer(claimed.kept) if claimed.kept else await self._call(agent, message, payload)

        self._reach(claimed, steps, PUBLISH_RESPONSE)
        response = _respond(message, answer.reply, milliseconds=steps.milliseconds)
        turns, passed = _turns(message, response), self._progress.take(claimed)
        with spans.of("publish", message.message_id, kind="producer"):
            committed = await _outage().insist(
                lambda: self._claims.commit(
                    claimed, response, turns, passed=passed, steps=steps.summary, execution=answer.execution
                )
            )
        if committed is None:
            raise LeaseLost("The lease ran out before the commit.")

        steps.end()
        metrics.ATTEMPTS.labels("completed").inc()
        log.info(DONE.event, progress=DONE.progress, seq=committed.seq, ms=response.processing_time)

    async def _call(self, agent: Agent, message: Message, payload: bytes) -> Answer:
        if agent.id == CANARY_AGENT:
            return Answer(Reply(message="I am."))
        async with self._breakers.guard(agent.webhook_path):
            with spans.of("n8n", message.message_id, kind="client"):
                return await self._workflow.ask(agent, message, payload)

    async def _find_agent(self, message: Message) -> Agent:
        if message.agent_id == CANARY_AGENT:  # no agent of anyone's: only `operations.canary` writes to it
            return Agent(id=CANARY_AGENT, user_id=message.user_id, name="Canary", webhook_path="-")
        agent = await self._agents.find(message.agent_id)
        if agent is None or not agent.active or agent.user_id != message.user_id:
            raise AgentGone("The agent was deleted, disabled or given to another user since.")
        return agent

    def _reach(self, claimed: Claimed, steps: Steps, step: Step) -> None:
        steps.begin(step.name)
        log.debug(step.event, progress=step.progress)
        if step is not PUBLISH_RESPONSE:  # the commit itself reports the last two
            self._progress.note(claimed, step.progress)

    async def _end_attempt(self, claimed: Claimed, failure: AttemptFailed, steps: Steps) -> None:
        decision = retry.decide(
            self._policy,
            failure,
            attempts=claimed.attempts + 1,
            snoozes=claimed.snoozes,
            chance=random.random(),
        )
        await self._progress.tell(claimed)
        error = {"class": failure.fault, "code": failure.code, "text": failure.message, "at": timestamp()}
        record = {**error, "startedAt": steps.began, "run": claimed.run, "ms": steps.milliseconds}
        kept = await _outage().insist(
            lambda: self._claims.fail(
                claimed,
                decision,
                error=msgspec.json.encode(error),
                record=msgspec.json.encode(record),
                failure=Failure.for_message(claimed.message, failure.code, timestamp=timestamp()),
                fault=failure.fault,
                steps=steps.summary,
            )
        )
        steps.end()
        _count(failure, decision, kept=kept)
        pause = round(decision.delay, 1) if isinstance(decision, retry.RetryLater) and kept else None
        is_dead = kept and isinstance(decision, retry.GiveUp)
        log.log(
            logging.ERROR if is_dead else logging.WARNING,
            "Job failed" if is_dead else "Attempt failed",
            code=failure.code,
            # What to do about it is said once, where nothing more is done by itself.
            error=failure.message.partition(": ")[0] if pause is not None else failure.message,
            again_in=pause,
            lease_lost=not kept or None,
        )


def _outage() -> Outage:
    """Write an outcome however long Redis is away: what n8n said may have cost ten seconds of a model.

    The fence in the scripts makes it harmless to come late; the worker cancels it when it stops. An error of the
    script itself is not an outage: it ends the attempt.
    """
    return Outage("write an outcome", event="An outcome waits for Redis", faults=(RedisUnavailable,))


def _respond(message: Message, reply: Reply, *, milliseconds: int) -> Draft:
    return Draft(
        message_id=message.message_id,
        conversation_id=message.conversation_id,
        agent_id=message.agent_id,
        response=reply,
        channel=message.channel,
        channel_metadata=message.channel_metadata,
        timestamp=timestamp(),
        processing_time=milliseconds,
        user_id=message.user_id,
    )


def _turns(message: Message, response: Draft) -> tuple[Turn, Turn]:
    return (
        Turn(role="user", content=message.message, timestamp=message.timestamp),
        Turn(role="assistant", content=response.response.message, timestamp=response.timestamp),
    )


def _count(failure: AttemptFailed, decision: retry.RetryLater | retry.GiveUp, *, kept: bool) -> None:
    """Count the end of an attempt; one that was not kept had lost its lease, and what it decided is not so."""
    metrics.FAILURES.labels(failure.fault, failure.code).inc()
    if not kept:
        metrics.ATTEMPTS.labels("lease_lost").inc()
        return
    held = isinstance(decision, retry.RetryLater) and not decision.counts_as_attempt
    metrics.ATTEMPTS.labels("held" if held else "failed").inc()
    if isinstance(decision, retry.GiveUp):
        metrics.DEAD_LETTERS.inc()
