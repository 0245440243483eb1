"""A stateful property test: random moves of clients and workers, each held against a plain model of the queue.

Each move may be sent twice, as redis-py does when a reply gets lost. After each one, what Redis holds is what the
model holds, and the invariants hold by themselves. MSGCTL_MODEL_EXAMPLES sets how many sequences are tried.
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


class Echoing:
    """A Redis client that sends each script twice when told to, and returns what the second one answered."""

    def __init__(self, redis: Any) -> None:
        self._redis = redis
        self.twice = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._redis, name)

    async def execute_command(self, *command: Any) -> Any:
        """Run a command or a script, which is sent again."""
        if self.twice:
            await self._redis.execute_command(*command)
        return await self._redis.execute_command(*command)

    def pipeline(self, *arguments: Any, **options: Any) -> Any:
        """A pipeline, all of which is sent again."""
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
    """Clients, two workers, time that passes, and an operator."""

    settings: Settings

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.redis = cast("Any", Echoing(connect(self.settings)))
        self.run(self.redis.flushdb())
        self.queue = Queue(self.redis, self.settings)
        self.claims = {name: LeaseClient(self.redis, self.settings, name) for name in WORKERS}
        self.model = Model()
        self.claimed: list[LeasedMessage] = []
        """Everything that was ever claimed and told to its worker."""
        self.run(self.pass_time([], []))

    def run(self, coroutine: Coroutine[Any, Any, T], *, twice: bool = False) -> T:
        """Run to its end, each script sent twice if told so."""
        self.redis.twice = twice
        try:
            return self.loop.run_until_complete(coroutine)
        finally:
            self.redis.twice = False

    def teardown(self) -> None:
        """`verify` agrees with the model that all is well."""
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
        """A client sends a message, new or known."""
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
            return  # a key stands for an id that the queue itself chose; the body would name another
        for _ in range(1 + twice):
            entry = Entry(message_id, conversation, user, priority)
            expected = self.model.enqueue(entry, body, key)
        answer = self.run(self.queue.enqueue(message, digest=repr(body), idempotency_key=key), twice=twice)
        assert (answer.status, answer.message_id) == expected

    # ── workers ─────────────────────────────────────────────────────────────────────────────────────────

    @rule(worker=workers, slots=st.integers(1, 4), quarantine=st.booleans(), twice=st.booleans())
    def claim(self, *, worker: str, slots: int, quarantine: bool, twice: bool) -> None:
        """A worker fills its slots."""
        expected = self.model.claim(worker, slots, quarantine=quarantine)
        taken = self.run(self.claims[worker].claim(slots, quarantine=quarantine), twice=twice)
        assert [lease_of(one) for one in taken] == expected
        for one in taken:
            entry = self.model.entries[one.message.message_id]
            assert (one.attempts, one.snoozes) == (entry.attempts, entry.snoozes)
        self.claimed += taken

    @rule(worker=workers)
    def claim_and_never_hear(self, *, worker: str) -> None:
        """The reply of a claim is lost for good; the worker disowns what it does not know of."""
        lost = self.model.claim(worker, 1)
        self.run(self.claims[worker].claim(1))
        known = [one.lease for one in self.claimed]
        assert self.run(self.claims[worker].requeue_unknown(known)) == self.model.hand_back(lost)

    @precondition(lambda self: self.claimed)
    @rule(which=st.integers(0, 50), twice=st.booleans())
    def commit(self, *, which: int, twice: bool) -> None:
        """A worker has an answer, in time or too late."""
        claimed = self.claimed[-1 - which % len(self.claimed)]
        expected = self.model.commit(lease_of(claimed))
        committed = self.run(commit(self.claims["w1"], claimed), twice=twice)
        assert (committed.seq if committed else None) == expected

    @precondition(lambda self: self.claimed)
    @rule(which=st.integers(0, 50), decision=decisions, twice=st.booleans())
    def fail(self, *, which: int, decision: RetryLater | GiveUp, twice: bool) -> None:
        """A worker has none, in time or too late."""
        claimed = self.claimed[-1 - which % len(self.claimed)]
        expected = self.model.fail(lease_of(claimed), decision)
        attempt = self.claims["w1"].fail(claimed, decision, error=b"{}", record=b"{}", failure=failure(claimed))
        assert self.run(attempt, twice=twice) == expected

    @precondition(lambda self: self.claimed)
    @rule(which=several, twice=st.booleans())
    def hand_back(self, *, which: list[int], twice: bool) -> None:
        """A worker that stops lets go."""
        some = self.pick(self.claimed, which)
        expected = self.model.hand_back([lease_of(one) for one in some])
        assert self.run(self.claims["w1"].requeue(some), twice=twice) == (0 if twice else expected)

    @rule(worker=workers, twice=st.booleans())
    def heartbeat(self, *, worker: str, twice: bool) -> None:
        """A worker shows that it lives, and is told what it has lost."""
        leases = [one.lease for one in self.claimed]
        expected = [
            one.lease
            for one in self.claimed
            if not self.model.holds(lease_of(one)) and not self.model.ended(lease_of(one))
        ]
        assert self.run(self.claims[worker].heartbeat(leases, "busy"), twice=twice) == expected

    # ── time, and an operator ───────────────────────────────────────────────────────────────────────────

    @rule(which=several, twice=st.booleans())
    def lose_workers(self, *, which: list[int], twice: bool) -> None:
        """Leases run out."""
        held = [(entry.id, entry.runs) for entry in self.model.entries.values() if entry.status == "started"]
        lost = sorted(self.pick(held, which), key=lambda lease: f"{lease[0]}:{lease[1]}")
        reaped, buried = self.model.reap(lost)
        tended = self.run(self.pass_time([f"{message_id}:{run}" for message_id, run in lost], [], twice=twice))
        assert (tended.promoted, tended.quarantined) == (0, len(self.model.quarantine))
        assert (tended.reaped, tended.dead_lettered) == ((0, 0) if twice else (reaped, buried))

    @rule()
    def let_a_day_pass(self) -> None:
        """The identities of all that is still there expire; nothing changes for whoever asks again."""
        self.run(self.redis.delete("none", *(keys.IDENTITY + each for each in self.model.entries)))

    @rule(which=several, twice=st.booleans())
    def end_pauses(self, *, which: list[int], twice: bool) -> None:
        """Pauses between attempts are over."""
        paused = [entry.id for entry in self.model.entries.values() if entry.status == "scheduled"]
        due = sorted(self.pick(paused, which), key=lambda each: (self.model.entries[each].priority, each))
        promoted = self.model.promote(due)
        tended = self.run(self.pass_time([], due, twice=twice))
        assert (tended.promoted, tended.reaped) == (0 if twice else promoted, 0)

    @rule(message_id=ids, twice=st.booleans())
    def replay(self, *, message_id: str, twice: bool) -> None:
        """An operator replays a dead letter, or what is none."""
        for _ in range(1 + twice):
            expected = self.model.replay(message_id)
        assert self.run(self.queue.replay(message_id), twice=twice) == expected

    @rule(message_id=ids, twice=st.booleans())
    def cancel(self, *, message_id: str, twice: bool) -> None:
        """An operator cancels a message that waits, or one that does not."""
        expected = self.model.cancel(message_id)
        letter = (
            b'{"messageId":"","conversationId":"","userId":"u","channel":"web","code":"cancelled","timestamp":""}'
        )
        outcome = self.run(
            self.queue.cancel(message_id, error=b'{"code":"cancelled"}', failure=letter), twice=twice
        )
        assert outcome == expected

    @rule(
        status=st.sampled_from(["finished", "failed"]), message_ids=st.lists(ids, max_size=3), twice=st.booleans()
    )
    def remove(self, *, status: Any, message_ids: list[str], twice: bool) -> None:
        """An operator forgets what is over, and nothing else."""
        unique = list(dict.fromkeys(message_ids))
        removed = self.model.remove(status, unique)
        assert self.run(self.queue.delete_ended(status, LARGE, unique), twice=twice) == (0 if twice else removed)

    # ── what must hold ──────────────────────────────────────────────────────────────────────────────────

    @invariant()
    def redis_holds_what_the_model_holds(self) -> None:
        """Queues, conversations, registries, leases and records, to the last id."""
        self.run(self.compare())

    @invariant()
    def the_invariants_hold(self) -> None:
        """I2, I3 and I5, by what the stream and the records say."""
        assert max(Counter(message_id for message_id, _, _ in self.model.responses).values(), default=1) == 1
        for conversation, last in self.model.numbers.items():
            numbers = [number for _, where, number in self.model.responses if where == conversation]
            assert numbers == list(range(1, last + 1))
        assert all(entry.crashes <= MAX_CRASHES + 1 for entry in self.model.entries.values())

    async def compare(self) -> None:
        """Read all of it in one round trip and compare."""
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
        answers = await pipeline.execute()
        count, boxes = len(keys.QUEUES) + 1, len(model.mailboxes)
        assert answers[:count] == [*model.queues.values(), model.quarantine]
        assert answers[count : count + boxes] == list(model.mailboxes.values())
        for (status, *numbers), entry in zip(answers[count + boxes :], model.entries.values(), strict=True):
            expected = [entry.runs, entry.attempts, entry.crashes, entry.snoozes]
            assert (status, [int(number or 0) for number in numbers]) == (entry.status, expected), entry
        await self.compare_registries()
        entries = await redis.xrange(keys.RESPONSES)
        bodies = [msgspec.json.decode(fields["body"]) for _, fields in entries if fields["kind"] == "response"]
        assert [(body["messageId"], body["conversationId"], body["seq"]) for body in bodies] == model.responses

    async def compare_registries(self) -> None:
        """I4: RQ's registries and the leases hold exactly the messages of each status."""
        names = {
            "deferred": keys.RQ_DEFERRED,
            "scheduled": keys.RQ_SCHEDULED,
            "finished": keys.RQ_FINISHED,
            "failed": keys.RQ_FAILED,
            "started": keys.RQ_WIP,
        }
        for status, registry in names.items():
            found: set[str] = set()
            for queue in keys.QUEUES:
                found |= set(await self.redis.zrange(registry + queue, 0, -1))
            holders = [entry for entry in self.model.entries.values() if entry.status == status]
            running = status == "started"
            assert found == {f"{entry.id}:{entry.runs}" if running else entry.id for entry in holders}, status
            if running:
                assert found == set(await self.redis.zrange(keys.LEASES, 0, -1))

    # ── tools ───────────────────────────────────────────────────────────────────────────────────────────

    async def pass_time(self, leases: Sequence[str], paused: Sequence[str], *, twice: bool = False) -> Any:
        """Let these leases and pauses have ended, and tend."""
        for lease in leases:
            await self.redis.zadd(keys.LEASES, {lease: 1})
        for message_id in paused:
            queue = keys.queue_name(self.model.entries[message_id].priority)
            await self.redis.zadd(keys.RQ_SCHEDULED + queue, {message_id: 1})
        await self.redis.hset(keys.TENDED, mapping={"at": LARGE, "grace": 0})
        self.redis.twice = twice
        return await self.claims["w1"].maintain()

    def pick(self, things: Sequence[T], which: Sequence[int]) -> list[T]:
        """Some of these, each once."""
        return (
            [things[index] for index in dict.fromkeys(number % len(things) for number in which)] if things else []
        )


def lease_of(claimed: LeasedMessage) -> Lease:
    """What the model calls a lease."""
    return claimed.message.message_id, claimed.run


def test_the_scripts_do_what_the_model_does(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """No sequence of moves, each sent once or twice, makes Redis differ from the model or breaks an invariant."""
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
