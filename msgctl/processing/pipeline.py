"""What happens to a message, from the client to the channel.

1. Accept. `intake.accept` validates the message and enqueues it in Redis. The client gets its answer then.
2. Claim. A worker (`daemons/worker`) takes the message from the queue under a lease and calls `Pipeline.process`.
   Messages of one conversation are claimed one at a time, in order.
3. Process. The pipeline takes the message through six steps:

       step                      where           progress
       find the agent            PostgreSQL          10 %
       read the history          Redis               20 %   came with the claim
       prepare the payload       this process        30 %
       call the workflow         n8n                 50 %
       publish the response      Redis               80 %
       done                                         100 %

4. Commit. Publishing is one atomic script (`queue/lua/commit.lua`). It finishes the job, adds both turns to the
   history, appends the response to the response stream, and promotes the next message of the conversation.
5. Deliver. A subscriber (`daemons/subscriber`) reads the stream and sends the response to its channel
   (`delivery`). A web response goes to the inbox of the gateway that holds the socket. If that socket is known and
   no earlier response of the conversation waits, the commit puts it there itself.

If a step fails, the attempt ends and `domain.retry.decide` chooses one of three outcomes:

* Retry: the message is delayed and gets another attempt (`queue/lua/fail.lua`).
* Snooze: a dependency is down. The message is delayed, and the attempt does not count.
* Give up: the message becomes a dead letter, and its sender is notified through the response stream.
  `msgctl dlq replay` enqueues it again with all its attempts (`queue/lua/replay.lua`).

If the worker dies, its lease expires, and some worker reaps it (`queue/lua/maintain.lua`). The message is requeued
without counting an attempt. After several crashes it goes to the quarantine, where it runs alone. After one more
it becomes a dead letter. Each write checks the lease, so a worker that comes back late changes nothing.
"""

import dataclasses
import logging
import random

import msgspec
from msgspec import UNSET

from msgctl.agents.agents import Agent, Agents
from msgctl.config.settings import Settings
from msgctl.domain import retry
from msgctl.domain.errors import (
    AgentGone,
    AttemptFailed,
    DependencyDown,
    LeaseLost,
    RedisUnavailable,
    Unavailable,
    WorkflowUnreachable,
)
from msgctl.domain.messages import CANARY_AGENT_ID, Failure, Message, Reply, Turn, UnnumberedResponse
from msgctl.domain.n8n_outage import N8nDown, OutageScope, PatienceExhausted
from msgctl.domain.steps import (
    CALL_WORKFLOW,
    DONE,
    FIND_AGENT,
    PREPARE_PAYLOAD,
    PUBLISH_RESPONSE,
    READ_HISTORY,
    Step,
)
from msgctl.domain.times import timestamp
from msgctl.observability import logs, tracing
from msgctl.observability.metrics import definitions as metrics
from msgctl.processing.answer_faults import AnswerFault
from msgctl.processing.answer_reply import to_reply
from msgctl.processing.answers import N8nAnswer, Outcome, ReplyPart, Usage
from msgctl.processing.breakers import CircuitBreakers
from msgctl.processing.n8n import WorkflowClient
from msgctl.processing.payload import prepare_payload
from msgctl.processing.step_timer import StepTimer
from msgctl.queue.leases import CommitResult, LeaseClient, LeasedMessage, N8nWait
from msgctl.queue.progress import ProgressWriter
from msgctl.storage.redis.retry import RedisRetry

log = logs.get_logger(__name__)


class Pipeline:
    """Processes messages. Any number of `process` calls run concurrently.

    Args:
        settings: `retry.*`.
        leases: commits and fails messages under their leases.
        progress: records each step. Progress that is unwritten at the commit is published by the commit.
        agents: finds the agent of a message.
        breakers: guard the calls of each workflow.
        workflow: calls n8n.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        leases: LeaseClient,
        progress: ProgressWriter,
        agents: Agents,
        breakers: CircuitBreakers,
        workflow: WorkflowClient,
    ) -> None:
        self._leases = leases
        self._progress = progress
        self._agents = agents
        self._breakers = breakers
        self._workflow = workflow
        self._policy = dataclasses.replace(settings.retry.policy(), patience=settings.n8n.patience)

    async def process(self, leased: LeasedMessage) -> None:
        """Run one attempt at a message. Return once its commit or its failure is written, or the lease is lost."""
        message, timer = leased.message, StepTimer()
        with (
            logs.bound_fields(
                messageId=message.message_id,
                conversationId=message.conversation_id,
                attempt=leased.attempts + 1,
                step=timer.current_step,
            ),
            tracing.span("work", message.message_id, attempt=leased.attempts + 1, run=leased.run),
        ):
            await self._run_attempt(leased, timer)

    async def _run_attempt(self, leased: LeasedMessage, timer: StepTimer) -> None:
        try:
            await self._run_steps(leased, timer)
        except LeaseLost:
            metrics.ATTEMPTS.labels("lease_lost").inc()
            log.warning("Lease lost", run=leased.run)
        except AttemptFailed as failure:
            await self._record_failure(leased, failure, timer)
        except Unavailable as outage:
            await self._record_failure(leased, DependencyDown(outage.message), timer)
        except Exception as bug:  # a bug ends this attempt, never the worker
            log.exception("Step failed unexpectedly")
            internal = AttemptFailed(f"msgctl itself failed ({type(bug).__name__}); the log has the traceback.")
            await self._record_failure(leased, internal, timer)

    async def _run_steps(self, leased: LeasedMessage, timer: StepTimer) -> None:
        message = leased.message

        self._begin_step(FIND_AGENT, leased, timer)
        agent = await self._find_agent(message)

        self._begin_step(READ_HISTORY, leased, timer)
        history = leased.history  # the claim read it already, which saves a round trip

        self._begin_step(PREPARE_PAYLOAD, leased, timer)
        payload = prepare_payload(agent, message, history, attempt=leased.attempts + 1)

        self._begin_step(CALL_WORKFLOW, leased, timer)
        answer = await self._call_workflow(agent, leased, payload)
        to_send = to_reply(answer)
        _report_warnings(to_send.warnings)

        self._begin_step(PUBLISH_RESPONSE, leased, timer)
        if to_send.reply is None:
            await self._finish_silently(leased, answer.execution_id, to_send.warnings, timer)
            return
        response = _build_response(message, agent, to_send.reply, elapsed_ms=timer.elapsed_ms)
        committed = await self._commit(leased, response, answer.execution_id, to_send.warnings, timer)

        timer.end()
        metrics.ATTEMPTS.labels("completed").inc()
        log.info(DONE.event, progress=DONE.progress, seq=committed.seq, ms=response.processing_time)

    def _begin_step(self, step: Step, leased: LeasedMessage, timer: StepTimer) -> None:
        timer.begin(step.name)
        log.debug(step.event, progress=step.progress)
        if step is not PUBLISH_RESPONSE:  # the commit itself reports the last two
            self._progress.record(leased, step.progress)

    async def _find_agent(self, message: Message) -> Agent:
        if message.agent_id == CANARY_AGENT_ID:  # exists nowhere, and only the canary may use it
            return Agent(id=CANARY_AGENT_ID, user_id=message.user_id, name="Canary", webhook_path="-")
        agent = await self._agents.find(message.agent_id)
        if agent is None or not agent.active or agent.user_id != message.user_id:
            raise AgentGone("The agent was deleted, disabled or given to another user since.")
        return agent

    async def _call_workflow(self, agent: Agent, leased: LeasedMessage, payload: bytes) -> N8nAnswer:
        if leased.stored_reply:  # an earlier run got it and lost its lease before the commit
            return _to_answer(leased.stored_reply)
        if agent.id == CANARY_AGENT_ID:
            return _to_answer(Reply(message="I am."))
        async with self._breakers.guard(agent.webhook_path):
            with tracing.span("n8n", leased.message.message_id, kind="client"):
                return await self._workflow.call(agent, leased.message, payload)

    async def _commit(
        self,
        leased: LeasedMessage,
        response: UnnumberedResponse,
        execution_id: str,
        warnings: tuple[str, ...],
        timer: StepTimer,
    ) -> CommitResult:
        turns, unreported = _build_turns(leased.message, response), self._progress.take_unwritten(leased)
        with tracing.span("publish", leased.message.message_id, kind="producer"):
            committed = await _outcome_retry().run_until_success(
                lambda: self._leases.commit(
                    leased,
                    response,
                    turns,
                    unreported_progress=unreported,
                    steps=timer.summary,
                    execution=execution_id,
                    warnings=" ".join(warnings),
                )
            )
        if committed is None:
            raise LeaseLost("The lease ran out before the commit.")
        return committed

    async def _finish_silently(
        self, leased: LeasedMessage, execution_id: str, warnings: tuple[str, ...], timer: StepTimer
    ) -> None:
        unreported = self._progress.take_unwritten(leased)
        finished = await _outcome_retry().run_until_success(
            lambda: self._leases.finish_silently(
                leased,
                _build_user_turn(leased.message),
                unreported_progress=unreported,
                steps=timer.summary,
                execution=execution_id,
                warnings=" ".join(warnings),
            )
        )
        if not finished:
            raise LeaseLost("The lease ran out before the commit.")
        timer.end()
        metrics.ATTEMPTS.labels("silent").inc()
        log.info("Finished without a reply", progress=DONE.progress)

    async def _record_failure(self, leased: LeasedMessage, failure: AttemptFailed, timer: StepTimer) -> None:
        decision = retry.decide(
            self._policy,
            failure,
            attempts=leased.attempts + 1,
            snoozes=leased.snoozes,
            chance=random.random(),
            down_for=leased.down_for_s + timer.elapsed_ms / 1000 if leased.down_for_s else 0.0,
        )
        if isinstance(failure, N8nDown) and isinstance(decision, retry.GiveUp):
            failure = _exhaust_patience(failure, self._policy.patience)
        await self._progress.flush(leased)
        error = {"class": failure.fault, "code": failure.code, "text": failure.message, "at": timestamp()}
        if isinstance(failure, AnswerFault):
            error["defect"] = failure.reason
        record = {**error, "startedAt": timer.started_at, "run": leased.run, "ms": timer.elapsed_ms}
        recorded = await _outcome_retry().run_until_success(
            lambda: self._leases.fail(
                leased,
                decision,
                error=msgspec.json.encode(error),
                record=msgspec.json.encode(record),
                failure=Failure.for_message(leased.message, failure.code, timestamp=timestamp()),
                fault=failure.fault,
                steps=timer.summary,
                wait=_wait_for_n8n(failure),
            )
        )
        timer.end()
        _count_failure(failure, decision, recorded=recorded)
        _log_failure(failure, decision, recorded=recorded)


def _exhaust_patience(failure: N8nDown, patience_s: float) -> PatienceExhausted:
    return PatienceExhausted(f"n8n was down for longer than n8n.patience ({patience_s:g} s). {failure.message}")


def _wait_for_n8n(failure: AttemptFailed) -> N8nWait | None:
    """Return what the message waits for if n8n is down, so that the return of n8n ends the wait."""
    if not isinstance(failure, WorkflowUnreachable):
        return None
    if not isinstance(failure, N8nDown):
        return N8nWait("refused")
    return N8nWait("down" if failure.scope is OutageScope.N8N else "doubtful", failure.retry_after or 0.0)


def _outcome_retry() -> RedisRetry:
    """Return the retry for writing an outcome, which waits for Redis without a limit.

    A reply of n8n may have cost ten seconds of a model, so it is worth the wait. A late write is harmless, because
    the scripts check the lease. The worker cancels the wait when it stops. An error of the script itself is not an
    outage and ends the attempt.
    """
    return RedisRetry("write an outcome", event="An outcome waits for Redis", faults=(RedisUnavailable,))


def _build_response(message: Message, agent: Agent, reply: Reply, *, elapsed_ms: int) -> UnnumberedResponse:
    return UnnumberedResponse(
        message_id=message.message_id,
        conversation_id=message.conversation_id,
        agent_id=message.agent_id,
        response=reply,
        channel=message.channel,
        channel_metadata=message.channel_metadata,
        timestamp=timestamp(),
        processing_time=elapsed_ms,
        user_id=message.user_id,
        format=agent.settings.format or UNSET,
    )


def _build_turns(message: Message, response: UnnumberedResponse) -> tuple[Turn, Turn]:
    return (
        _build_user_turn(message),
        Turn(role="assistant", content=response.response.message, timestamp=response.timestamp),
    )


def _build_user_turn(message: Message) -> Turn:
    return Turn(role="user", content=message.message, timestamp=message.timestamp)


def _to_answer(reply: Reply) -> N8nAnswer:
    """Return the answer that a known reply stands for."""
    usage = Usage(reply.tokens_used, reply.model, reply.finish_reason)
    return N8nAnswer(outcome=Outcome.REPLY, parts=(ReplyPart(reply.message),), usage=usage)


def _report_warnings(warnings: tuple[str, ...]) -> None:
    for warning in warnings:
        metrics.N8N_WARNINGS.inc()
        log.warning("Answer of n8n used despite a fault", error=warning)


def _count_failure(failure: AttemptFailed, decision: retry.RetryLater | retry.GiveUp, *, recorded: bool) -> None:
    """Count a failed attempt. If it was not recorded, the lease was lost and the decision had no effect."""
    metrics.FAILURES.labels(failure.fault, failure.code).inc()
    if not recorded:
        metrics.ATTEMPTS.labels("lease_lost").inc()
        return
    snoozed = isinstance(decision, retry.RetryLater) and not decision.counts_as_attempt
    metrics.ATTEMPTS.labels("held" if snoozed else "failed").inc()
    if isinstance(decision, retry.GiveUp):
        metrics.DEAD_LETTERS.inc()


def _log_failure(failure: AttemptFailed, decision: retry.RetryLater | retry.GiveUp, *, recorded: bool) -> None:
    delay_s = round(decision.delay, 1) if isinstance(decision, retry.RetryLater) and recorded else None
    is_dead = recorded and isinstance(decision, retry.GiveUp)
    log.log(
        logging.ERROR if is_dead else logging.WARNING,
        "Job failed" if is_dead else "Attempt failed",
        code=failure.code,
        # The advice after the colon is logged only when no further attempt follows.
        error=failure.message.partition(": ")[0] if delay_s is not None else failure.message,
        again_in=delay_s,
        lease_lost=not recorded or None,
    )
