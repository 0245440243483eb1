"""Replays of many dead letters: a plan that says what is skipped and why, and a paced run that can stop."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from msgctl.aio import finish
from msgctl.domain.errors import Incomplete, PostgresUnavailable
from msgctl.domain.messages import State, WireStruct
from msgctl.intake.accept import AgentDirectory
from msgctl.operations.context import Operation
from msgctl.operations.dead_letters.letters import ReplayResult
from msgctl.operations.messages.cancel import CANCELLED
from msgctl.operations.messages.search import Summary
from msgctl.queue.job import STATE_BY_RQ_STATUS
from msgctl.storage.redis import keys

if TYPE_CHECKING:
    from msgctl.channels.base import ReplyWindow

REPLAY_BATCH_SIZE = 200
"""Dead letters that one call replays."""
FAILURE_WINDOW = 1000
"""Replayed messages, the newest, whose results count in the ratio of failures."""
MIN_FAILURE_SAMPLE = 10
"""Results that the ratio of failures needs at least."""
REPLAY_POLL_INTERVAL_S = 0.2
"""Seconds between two reads of the states of a canary."""


class SkippedReplay(WireStruct, kw_only=True, frozen=True):
    """One message that is not replayed."""

    message_id: str
    reason: str
    """missing, already_answered, in_play, superseded, duplicate, agent_gone, window_closed or not_retryable."""
    text: str


class ReplayPlan(WireStruct, kw_only=True, frozen=True):
    """What a replay would do. It can be saved to a file and run later, in parts."""

    schema: str = "msgctl.replay-plan/1"
    query: dict[str, Any] = msgspec.field(default_factory=dict)
    replay: list[str] = msgspec.field(default_factory=list)
    skip: list[SkippedReplay] = msgspec.field(default_factory=list)


class ReplayPacing(msgspec.Struct, kw_only=True, frozen=True):
    """How fast and how carefully to replay."""

    messages_per_second: float | None = None
    """The maximum rate. None: no limit."""
    canary_count: int = 0
    """Messages to replay first. The others follow only if none of these fails."""
    max_failure_ratio: float | None = None
    """The ratio of replayed messages that may fail again. A higher ratio stops the replay. None: no limit."""
    canary_timeout_s: float = 300.0
    """Seconds to wait for the canary."""


def _ignore_canary(answered: int, canary: int, left: int) -> None:
    """Do nothing."""


class BulkReplay(Operation):
    """Plans and runs replays."""

    async def plan(
        self,
        found: Sequence[Summary],
        agents: AgentDirectory,
        *,
        named: Sequence[str] = (),
        query: dict[str, Any] | None = None,
        gone: Sequence[str] = (),
    ) -> ReplayPlan:
        """Decide about each message.

        Args:
            found: the messages that match the query or were named.
            agents: finds agents. Each is looked up once.
            named: the ids that the operator named. A cancelled message is replayed only if it is named.
            query: the query, for the plan.
            gone: the ids of dead letters whose record does not exist.
        """
        orphans = await _find_orphans(found, agents)
        replay, skip, seen = [], [], set[str]()
        for item in found:
            reason = _skip_reason(item, orphans, named)
            if reason:
                skip.append(SkippedReplay(message_id=item.message_id, reason=reason[0], text=reason[1]))
            else:
                replay.append(item.message_id)
            seen.add(item.message_id)
        for index, message_id in enumerate(named):
            if message_id not in seen:
                skip.append(
                    SkippedReplay(message_id=message_id, reason="missing", text="There is no such message.")
                )
            elif message_id in named[:index]:
                skip.append(SkippedReplay(message_id=message_id, reason="duplicate", text="It was named twice."))
        skip += [
            SkippedReplay(message_id=message_id, reason="missing", text="Its record is gone.")
            for message_id in gone
        ]
        return ReplayPlan(query=query or {}, replay=replay, skip=skip)

    async def run(
        self,
        message_ids: Sequence[str],
        pacing: ReplayPacing,
        *,
        passed: Callable[[int, int, int], None] = _ignore_canary,
    ) -> AsyncIterator[list[ReplayResult]]:
        """Replay, and yield the outcomes of each batch.

        Args:
            message_ids: the ids of dead letters.
            pacing: how fast and how carefully to replay.
            passed: is called when the canary has passed, with the number of its messages that were answered, its
                size, and the number of messages that follow.

        Raises:
            Incomplete: the canary failed, or too many messages failed again. The rest was not replayed.
        """
        canary, rest = message_ids[: pacing.canary_count], message_ids[pacing.canary_count :]
        if canary:
            yield await self._replay(canary)
            passed(await self._wait_for_canary(canary, pacing.canary_timeout_s), len(canary), len(rest))
        size = (
            REPLAY_BATCH_SIZE
            if pacing.messages_per_second is None
            else max(1, min(REPLAY_BATCH_SIZE, int(pacing.messages_per_second / 2)))
        )
        started, done = time.monotonic(), 0
        for start in range(0, len(rest), size):
            batch = rest[start : start + size]
            yield await self._replay(batch)
            done += len(batch)
            pause_s = 0.0
            if pacing.messages_per_second is not None and done < len(rest):
                pause_s = max(0.0, started + done / pacing.messages_per_second - time.monotonic())
            await asyncio.sleep(pause_s)  # a cancellation arrives here, after the caller recorded the batch
            if pacing.max_failure_ratio is not None:
                await self._check_failure_ratio(
                    rest[:done][-FAILURE_WINDOW:], pacing.max_failure_ratio, left=len(rest) - done
                )

    async def _replay(self, batch: Sequence[str]) -> list[ReplayResult]:
        outcomes = await finish(self._queue.replay_many(batch))
        return [ReplayResult(*result) for result in zip(batch, outcomes, strict=True)]

    async def _wait_for_canary(self, ids: Sequence[str], timeout_s: float) -> int:
        deadline = time.monotonic() + timeout_s
        while True:
            states = await self._states(ids)
            if failed := states.count(State.FAILED):
                raise Incomplete(
                    f"{failed} of {len(ids)} messages of the canary failed again. The rest was not replayed."
                )
            if (answered := states.count(State.COMPLETED)) + states.count(None) == len(ids):
                return answered
            if time.monotonic() > deadline:
                raise Incomplete(f"The canary was not answered within {timeout_s:g} s. The rest was not replayed.")
            await asyncio.sleep(REPLAY_POLL_INTERVAL_S)

    async def _check_failure_ratio(self, ids: Sequence[str], limit: float, *, left: int) -> None:
        states = await self._states(ids)
        failed = states.count(State.FAILED)
        ended = failed + states.count(State.COMPLETED)
        if ended >= MIN_FAILURE_SAMPLE and failed / ended > limit:
            raise Incomplete(
                f"{failed} of the last {ended} messages failed again, more than {limit:.0%}. "
                f"The replay stopped, and {left} were not replayed."
            )

    async def _states(self, ids: Sequence[str]) -> list[State | None]:
        pipeline = self._redis.pipeline(transaction=False)
        for message_id in ids:
            pipeline.hget(keys.job_key(message_id), "status")
        return [STATE_BY_RQ_STATUS.get(status or "") for status in await pipeline.execute()]


async def _find_orphans(found: Sequence[Summary], agents: AgentDirectory) -> set[tuple[str, str]]:
    """Return the pairs of agent and user whose messages no agent can answer, or none without PostgreSQL."""
    gone = set()
    for agent_id, user_id in {(item.agent_id, item.user_id) for item in found}:
        try:
            agent = await agents.find(agent_id)
        except PostgresUnavailable:
            return set()  # the messages will wait for PostgreSQL
        if agent is None or not agent.active or agent.user_id != user_id:
            gone.add((agent_id, user_id))
    return gone


def _skip_reason(item: Summary, gone: Collection[tuple[str, str]], named: Sequence[str]) -> tuple[str, str] | None:
    """Return code and text of the first reason not to replay a message, or None."""
    age = time.time() - item.accepted_at / 1000
    window = _reply_window(item.channel)
    cancelled = (item.error or {}).get("code") == CANCELLED
    reasons = {
        ("already_answered", "It was answered."): item.state is State.COMPLETED,
        ("in_play", f"It is not a dead letter: it is {item.state}."): item.state is not State.FAILED,
        ("superseded", f"It was edited. Its replacement is {item.edition}."): bool(item.edition),
        ("agent_gone", "Its agent was deleted, disabled or given to another user."): (
            (item.agent_id, item.user_id) in gone
        ),
        ("window_closed", window.closed if window else ""): window is not None and age > window.seconds,
        ("not_retryable", "An operator cancelled it. Name its id to replay it."): (
            cancelled and item.message_id not in named
        ),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _reply_window(channel: str) -> "ReplyWindow | None":
    from msgctl.channels.registry import find_channel  # noqa: PLC0415 - only a replay needs it

    try:
        return find_channel(channel).reply_window
    except KeyError:  # a channel of an extension that is not installed here
        return None
