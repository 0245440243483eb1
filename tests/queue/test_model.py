"""A stateful property test: random actions of clients, workers, and operators are compared with a model.

Each action may be sent twice, as redis-py does if a reply was lost. After each action Redis and the model are
equal and the invariants hold. MSGCTL_MODEL_EXAMPLES sets the number of sequences.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar, cast

import msgspec
import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from msgctl.config.settings import Settings
from msgctl.domain.messages import Message
from msgctl.domain.retry import GiveUp, RetryLater
from msgctl.operations.checks.invariants import verify
from msgctl.operations.checks.invariants.verify import InvariantVerification
from msgctl.operations.context import Context
from msgctl.queue.leases import LeaseClient, LeasedMessage
from msgctl.queue.queue import Queue
from msgctl.storage.redis import keys
from msgctl.storage.redis.connections import connect
from tests.support.messages import commit, failure
from tests.support.queue_model import MAX_CRASHES, MAX_MAILBOX, Entry, Lease, Model

EXAMPLES = int(os.environ.get("MSGCTL_MODEL_EXAMPLES", "15"))
STEPS = 40
WORKERS = ("w1", "w2")
LARGE = 2**53

T = TypeVar("T")
ids = st.sampled_from([f"m{number}" for number in range(10)])
workers = st.sampled_from(WORKERS)
several = st.lists(st.integers(0, 50), min_size=1, max_size=4, unique=True)
decisions = st.sampled_from(
    [RetryLater(3600, counts_as_attempt=True), RetryLater(3600, counts_as_attempt=False), GiveUp()]
)


class DoublingClient:
    """A Redis client that sends each command twice while `twice` is set, and returns the second reply."""

    def __init__(self, redis: Any) -> None:
        self._redis = redis
        self.twice = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._redis, name)

    async def execute_command(self, *command: Any) -> Any:
        """Run a command or a script, twice if `twice` is set."""
        if self.twice:
            await self._redis.execute_command(*command)
        return await self._redis.execute_command(*command)

    def pipeline(self, *arguments: Any, **options: Any) -> Any:
        """Return a pipeline that executes twice if `twice` is set."""
        pipeline = self._redis.pipeline(*arguments, **options)
        execute = pipeline.execute

        async def execute_twice(**raising: Any) -> Any:
            commands = list(pipeline.command_stack)
            await execute(**raising)
            pipeline.command_stack.extend(commands)
            return await execute(**raising)

        if self.twice:
            pipeline.execute = execute_twice
        return pipeline


class QueueMachine(RuleBasedStateMachine):
    """Clients, two workers, an operator, and the passing of time."""

    settings: Settings

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.redis = cast("Any", DoublingClient(connect(self.settings)))
        self.run(self.redis.flushdb())
        self.queue = Queue(self.redis, self.settings)
        self.leases = {name: LeaseClient(self.redis, self.settings, name) for name in WORKERS}
        self.model = Model()
        self.leased: list[LeasedMessage] = []
        """Every message that was claimed and whose claim reached its worker."""
        self.run(self.pass_time([], []))

    def run(self, coroutine: Coroutine[Any, Any, T], *, twice: bool = False) -> T:
        """Run a coroutine to its end and send each command twice if `twice` is set."""
        self.redis.twice = twice
        try:
            return self.loop.run_until_complete(coroutine)
        finally:
            self.redis.twice = False

    def teardown(self) -> None:
        """Check that the verification finds no violation."""
        try:
            verdict = self.run(InvariantVerification(Context(self.settings, self.redis)).run())
            assert verdict.violations == []
        finally:
            self.run(self.redis.aclose())
            self.loop.close()

    # ── clients ─────────────────────────────────────────────────────────────────────────────────────────

    @rule(
        message_id=ids,
        conversation=st.sampled_from(["c1", "c2", "c3"]),
        priority=st.sampled_from([1, 5, 10]),
        user=st.sampled_from(["ana", "ana", "ana", "bob"]),
        key=st.sampled_from(["", "", "", "k1", "k2"]),
        twice=st.booleans(),
    )
    def enqueue(
        self, *, message_id: str, conversation: str, priority: int, user: str, key: str, twice: bool
    ) -> None:
        """A client sends a new or a repeated message."""
        message = Message(
            message_id=message_id,
            conversation_id=conversation,
            agent_id="a",
            user_id=user,
            message="hello",
            priority=priority,
            timestamp="2026-01-01T00:00:00.000Z",
        )
        body = (conversation, priority)
        if self.model.keys.get((user, key), message_id) != message_id:
            return  # the key identifies a message with another id
        for _ in range(1 + twice):
            entry = Entry(message_id, conversation, user, priority)
            expected = self.model.enqueue(entry, body, key)
        result = self.run(self.queue.enqueue(message, digest=repr(body), idempotency_key=key), twice=twice)
        assert (result.status, result.message_id) == expected

    # ── workers ─────────────────────────────────────────────────────────────────────────────────────────

    @rule(worker=workers, slots=st.integers(1, 4), quarantine=st.booleans(), twice=st.booleans())
    def claim(self, *, worker: str, slots: int, quarantine: bool, twice: bool) -> None:
        """A worker claims messages for its slots."""
        expected = self.model.claim(worker, slots, quarantine=quarantine)
        batch = self.run(self.leases[worker].claim(slots, quarantine=quarantine), twice=twice)
        assert [lease_of(leased) for leased in batch] == expected
        for leased in batch:
            entry = self.model.entries[leased.message.message_id]
            assert (leased.attempts, leased.snoozes) == (entry.attempts, entry.snoozes)
        self.leased += batch

    @rule(worker=workers)
    def claim_and_lose_the_reply(self, *, worker: str) -> None:
        """The reply of a claim is lost, and the worker requeues the messages that it does not know."""
        lost = self.model.claim(worker, 1)
        self.run(self.leases[worker].claim(1))
        known = [leased.lease for leased in self.leased]
        assert self.run(self.leases[worker].requeue_unknown(known)) == self.model.requeue(lost)

    @precondition(lambda self: self.leased)
    @rule(which=st.integers(0, 50), twice=st.booleans())
    def commit(self, *, which: int, twice: bool) -> None:
        """A worker commits a message, in time or too late."""
        leased = self.leased[-1 - which % len(self.leased)]
        expected = self.model.commit(lease_of(leased))
        committed = self.run(commit(self.leases["w1"], leased), twice=twice)
        assert (committed.seq if committed else None) == expected

    @precondition(lambda self: self.leased)
    @rule(which=st.integers(0, 50), decision=decisions, twice=st.booleans())
    def fail(self, *, which: int, decision: RetryLater | GiveUp, twice: bool) -> None:
        """A worker fails a message, in time or too late."""
        leased = self.leased[-1 - which % len(self.leased)]
        expected = self.model.fail(lease_of(leased), decision)
        attempt = self.leases["w1"].fail(leased, decision, error=b"{}", record=b"{}", failure=failure(leased))
        assert self.run(attempt, twice=twice) == expected

    @precondition(lambda self: self.leased)
    @rule(which=several, twice=st.booleans())
    def requeue(self, *, which: list[int], twice: bool) -> None:
        """A stopping worker requeues its messages."""
        batch = self.pick(self.leased, which)
        expected = self.model.requeue([lease_of(leased) for leased in batch])
        assert self.run(self.leases["w1"].requeue(batch), twice=twice) == (0 if twice else expected)

    @rule(worker=workers, twice=st.booleans())
    def heartbeat(self, *, worker: str, twice: bool) -> None:
        """A worker sends a heartbeat and gets the leases that it has lost."""
        leases = [leased.lease for leased in self.leased]
        expected = [
            leased.lease
            for leased in self.leased
            if not self.model.holds(lease_of(leased)) and not self.model.has_ended(lease_of(leased))
        ]
        assert self.run(self.leases[worker].heartbeat(leases, "busy"), twice=twice) == expected

    # ── time, and an operator ───────────────────────────────────────────────────────────────────────────

    @rule(which=several, twice=st.booleans())
    def lose_workers(self, *, which: list[int], twice: bool) -> None:
        """Leases expire."""
        held = [(entry.id, entry.runs) for entry in self.model.entries.values() if entry.status == "started"]
        lost = sorted(self.pick(held, which), key=lambda lease: f"{lease[0]}:{lease[1]}")
        reaped, dead_lettered = self.model.reap(lost)
        result = self.run(self.pass_time([f"{message_id}:{run}" for message_id, run in lost], [], twice=twice))
        assert (result.promoted, result.quarantined) == (0, len(self.model.quarantine))
        assert (result.reaped, result.dead_lettered) == ((0, 0) if twice else (reaped, dead_lettered))

    @rule()
    def let_a_day_pass(self) -> None:
        """The identities of stored messages expire, which changes nothing for a client that repeats a message."""
        self.run(self.redis.delete("none", *(keys.IDENTITY + message_id for message_id in self.model.entries)))

    @rule(which=several, twice=st.booleans())
    def end_delays(self, *, which: list[int], twice: bool) -> None:
        """The delays between attempts end."""
        delayed = [entry.id for entry in self.model.entries.values() if entry.status == "scheduled"]
        due = sorted(
            self.pick(delayed, which), key=lambda message_id: (self.model.entries[message_id].priority, message_id)
        )
        promoted = self.model.promote(due)
        result = self.run(self.pass_time([], due, twice=twice))
        assert (result.promoted, result.reaped) == (0 if twice else promoted, 0)

    @rule(message_id=ids, twice=st.booleans())
    def replay(self, *, message_id: str, twice: bool) -> None:
        """An operator replays a dead letter, or a message that is none."""
        for _ in range(1 + twice):
            expected = self.model.replay(message_id)
        assert self.run(self.queue.replay(message_id), twice=twice) == expected

    @rule(message_id=ids, twice=st.booleans())
    def cancel(self, *, message_id: str, twice: bool) -> None:
        """An operator cancels a message, waiting or not."""
        expected = self.model.cancel(message_id)
        sender_failure = (
            b'{"messageId":"","conversationId":"","userId":"u","channel":"web","code":"cancelled","timestamp":""}'
        )
        outcome = self.run(
            self.queue.cancel(message_id, error=b'{"code":"cancelled"}', failure=sender_failure), twice=twice
        )
        assert outcome == expected

    @rule(
        status=st.sampled_from(["finished", "failed"]), message_ids=st.lists(ids, max_size=3), twice=st.booleans()
    )
    def delete(self, *, status: Any, message_ids: list[str], twice: bool) -> None:
        """An operator deletes messages, of which only those that have ended may go."""
        unique = list(dict.fromkeys(message_ids))
        deleted = self.model.delete(status, unique)
        assert self.run(self.queue.delete_ended(status, LARGE, unique), twice=twice) == (0 if twice else deleted)

    # ── what must hold ──────────────────────────────────────────────────────────────────────────────────

    @invariant()
    def redis_equals_the_model(self) -> None:
        """Queues, mailboxes, registries, leases, and jobs are equal to the last id."""
        self.run(self.compare())

    @invariant()
    def invariants_hold(self) -> None:
        """I2, I3, and I5 hold according to the stream and the jobs."""
        assert max(Counter(message_id for message_id, _, _ in self.model.responses).values(), default=1) == 1
        for conversation, last in self.model.numbers.items():
            numbers = [number for _, where, number in self.model.responses if where == conversation]
            assert numbers == list(range(1, last + 1))
        assert all(entry.crashes <= MAX_CRASHES + 1 for entry in self.model.entries.values())

    async def compare(self) -> None:
        """Read the queues, mailboxes, and jobs in one round trip and compare them with the model."""
        redis, model = self.redis, self.model
        pipeline = redis.pipeline(transaction=True)
        for queue in (*keys.QUEUES, keys.QUARANTINE):
            pipeline.lrange(keys.RQ_QUEUE + queue, 0, -1)
        for conversation in model.mailboxes:
            pipeline.lrange(keys.MAILBOX + conversation, 0, -1)
        for message_id in model.entries:
            pipeline.hmget(
                keys.job_key(message_id),
                "status",
                keys.FIELD_RUNS,
                keys.FIELD_ATTEMPTS,
                keys.FIELD_CRASHES,
                keys.FIELD_HOLDS,
            )
        rows = await pipeline.execute()
        count, boxes = len(keys.QUEUES) + 1, len(model.mailboxes)
        assert rows[:count] == [*model.queues.values(), model.quarantine]
        assert rows[count : count + boxes] == list(model.mailboxes.values())
        for (status, *numbers), entry in zip(rows[count + boxes :], model.entries.values(), strict=True):
            expected = [entry.runs, entry.attempts, entry.crashes, entry.snoozes]
            assert (status, [int(number or 0) for number in numbers]) == (entry.status, expected), entry
        await self.compare_registries()
        entries = await redis.xrange(keys.RESPONSES)
        bodies = [msgspec.json.decode(fields["body"]) for _, fields in entries if fields["kind"] == "response"]
        assert [(body["messageId"], body["conversationId"], body["seq"]) for body in bodies] == model.responses

    async def compare_registries(self) -> None:
        """I4: RQ's registries and the leases contain exactly the messages of each status."""
        names = {
            "deferred": keys.RQ_DEFERRED,
            "scheduled": keys.RQ_SCHEDULED,
            "finished": keys.RQ_FINISHED,
            "failed": keys.RQ_FAILED,
            "started": keys.RQ_WIP,
        }
        for status, registry in names.items():
            members: set[str] = set()
            for queue in keys.QUEUES:
                members |= set(await self.redis.zrange(registry + queue, 0, -1))
            entries = [entry for entry in self.model.entries.values() if entry.status == status]
            running = status == "started"
            assert members == {f"{entry.id}:{entry.runs}" if running else entry.id for entry in entries}, status
            if running:
                assert members == set(await self.redis.zrange(keys.LEASES, 0, -1))

    # ── tools ───────────────────────────────────────────────────────────────────────────────────────────

    async def pass_time(self, leases: Sequence[str], delayed: Sequence[str], *, twice: bool = False) -> Any:
        """Expire these leases and delays, and run the maintenance."""
        for lease in leases:
            await self.redis.zadd(keys.LEASES, {lease: 1})
        for message_id in delayed:
            queue = keys.queue_name(self.model.entries[message_id].priority)
            await self.redis.zadd(keys.RQ_SCHEDULED + queue, {message_id: 1})
        await self.redis.hset(keys.TENDED, mapping={"at": LARGE, "grace": 0})
        self.redis.twice = twice
        return await self.leases["w1"].maintain()

    def pick(self, items: Sequence[T], which: Sequence[int]) -> list[T]:
        """Return some of the items, each once."""
        return [items[index] for index in dict.fromkeys(number % len(items) for number in which)] if items else []


def lease_of(leased: LeasedMessage) -> Lease:
    """Return the lease as the model names it."""
    return leased.message.message_id, leased.run


def test_scripts_behave_as_the_model(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """After any sequence of actions, each sent once or twice, Redis equals the model and all invariants hold."""
    monkeypatch.setattr(verify, "CONFIRMATION_INTERVAL_S", 0.0)
    worker = settings.worker.model_copy(update={"max_crashes": MAX_CRASHES})
    history = settings.history.model_copy(update={"max_mailbox": MAX_MAILBOX})
    QueueMachine.settings = settings.model_copy(update={"worker": worker, "history": history})
    run_state_machine_as_test(
        QueueMachine,
        settings=hypothesis_settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
