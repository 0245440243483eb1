"""A model of the queue in plain Python, with which each action of the scripts is compared."""

from dataclasses import dataclass, field
from typing import Any

from msgctl.domain.retry import GiveUp, RetryLater

MAX_CRASHES = 2
MAX_MAILBOX = 4

Lease = tuple[str, int]
"""A message id and the number of its run."""


@dataclass
class Entry:
    """One accepted message."""

    id: str
    conversation: str
    user: str
    priority: int
    status: str = "deferred"
    runs: int = 0
    attempts: int = 0
    crashes: int = 0
    snoozes: int = 0
    worker: str = ""
    quarantined: bool = False
    cancelled: bool = False
    """Whether an operator cancelled it and no run failed since."""
    recorded: set[int] = field(default_factory=set)
    """Runs that ended without an answer and are recorded."""
    committed: tuple[int, int] | None = None
    """The run that committed, and the number of its response."""


class Model:
    """The expected state of the queue after any sequence of actions."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.queues: dict[int, list[str]] = {priority: [] for priority in range(1, 11)}
        self.quarantine: list[str] = []
        self.mailboxes: dict[str, list[str]] = {}
        self.owners: dict[str, str] = {}
        self.identities: dict[str, tuple[str, Any]] = {}
        self.keys: dict[tuple[str, str], str] = {}
        self.numbers: dict[str, int] = {}
        self.responses: list[tuple[str, str, int]] = []

    # ── clients ─────────────────────────────────────────────────────────────────────────────────────────

    def enqueue(self, entry: Entry, body: Any, key: str) -> tuple[str, str]:
        """Enqueue a message; return the status and its id."""
        message_id = self.keys.get((entry.user, key), entry.id)
        if message_id in self.identities:
            return ("repeated" if self.identities[message_id] == (entry.user, body) else "conflict"), message_id
        if self.owners.get(entry.conversation, entry.user) != entry.user:
            return "foreign", message_id
        mailbox = self.mailboxes.setdefault(entry.conversation, [])
        if len(mailbox) >= MAX_MAILBOX:
            return "full", message_id
        self.owners[entry.conversation] = entry.user
        self.identities[message_id] = (entry.user, body)
        if key:
            self.keys[entry.user, key] = message_id
        self.entries[message_id] = entry
        mailbox.append(message_id)
        if mailbox == [message_id]:
            self._make_ready(entry, front=False)
        return "accepted", message_id

    # ── workers ─────────────────────────────────────────────────────────────────────────────────────────

    def claim(self, worker: str, slots: int, *, quarantine: bool = False) -> list[Lease]:
        """Claim up to `slots` messages, highest priority first."""
        leases: list[Lease] = []
        sources = [self.quarantine] if quarantine else list(self.queues.values())
        for source in sources:
            while source and len(leases) < slots:
                entry = self.entries[source.pop(0)]
                entry.status, entry.worker = "started", worker
                entry.runs += 1
                leases.append((entry.id, entry.runs))
        return leases

    def holds(self, lease: Lease) -> bool:
        """Whether this run still has its lease."""
        entry = self.entries.get(lease[0])
        return entry is not None and entry.status == "started" and entry.runs == lease[1]

    def has_ended(self, lease: Lease) -> bool:
        """Whether this run ended with a commit or a recorded failure."""
        entry = self.entries.get(lease[0])
        if entry is None:
            return False
        return lease[1] in entry.recorded or (entry.committed is not None and entry.committed[0] == lease[1])

    def commit(self, lease: Lease) -> int | None:
        """Complete a message; return the number of its response, or None without the lease."""
        entry = self.entries.get(lease[0])
        if entry is None or not self.holds(lease):
            committed = entry.committed if entry else None
            return committed[1] if committed and committed[0] == lease[1] else None
        number = self.numbers[entry.conversation] = self.numbers.get(entry.conversation, 0) + 1
        self.responses.append((entry.id, entry.conversation, number))
        entry.committed, entry.status = (lease[1], number), "finished"
        entry.attempts += 1
        self._advance(entry)
        return number

    def fail(self, lease: Lease, decision: RetryLater | GiveUp) -> bool:
        """End a run without an answer; return whether that is recorded."""
        entry = self.entries.get(lease[0])
        if entry is None or not self.holds(lease):
            return entry is not None and lease[1] in entry.recorded
        entry.recorded.add(lease[1])
        entry.cancelled = False
        if isinstance(decision, GiveUp) or decision.counts_as_attempt:
            entry.attempts, entry.snoozes = entry.attempts + 1, 0
        else:
            entry.snoozes += 1
        if isinstance(decision, GiveUp):
            self._dead_letter(entry)
        else:
            entry.status = "scheduled"
        return True

    def requeue(self, leases: list[Lease]) -> int:
        """Requeue messages; return how many were still leased."""
        held = [lease for lease in leases if self.holds(lease)]
        for message_id, _ in held:
            self._make_ready(self.entries[message_id], front=True)
        return len(held)

    # ── maintenance and operators ────────────────────────────────────────────────────────────────────────────────

    def reap(self, leases: list[Lease]) -> tuple[int, int]:
        """Expire leases; return how many were reaped and how many of these are dead letters."""
        dead_lettered = 0
        for message_id, _ in leases:
            entry = self.entries[message_id]
            entry.crashes, entry.snoozes = entry.crashes + 1, 0
            if entry.crashes > MAX_CRASHES:
                entry.cancelled = False
                self._dead_letter(entry)
                dead_lettered += 1
            else:
                entry.quarantined = entry.quarantined or entry.crashes == MAX_CRASHES
                self._make_ready(entry, front=True)
        return len(leases), dead_lettered

    def promote(self, message_ids: list[str]) -> int:
        """Queue delayed messages; return how many."""
        for message_id in message_ids:
            self._make_ready(self.entries[message_id], front=True)
        return len(message_ids)

    def replay(self, message_id: str) -> str:
        """Enqueue a dead letter again with all its attempts."""
        entry = self.entries.get(message_id)
        if entry is None:
            return "missing"
        if entry.status != "failed":
            return "not_failed"
        entry.status, entry.attempts, entry.crashes, entry.snoozes = "deferred", 0, 0, 0
        entry.quarantined = False
        mailbox = self.mailboxes.setdefault(entry.conversation, [])
        mailbox.insert(1, message_id)
        if mailbox == [message_id]:
            self._make_ready(entry, front=True)
        return "replayed"

    def cancel(self, message_id: str) -> str:
        """End a waiting message as a dead letter."""
        entry = self.entries.get(message_id)
        if entry is None:
            return "missing"
        if entry.status not in {"queued", "deferred", "scheduled"}:
            return "cancelled" if entry.status == "failed" and entry.cancelled else entry.status
        for queue in (*self.queues.values(), self.quarantine):
            if message_id in queue:
                queue.remove(message_id)
        entry.cancelled = True
        self._dead_letter(entry)
        return "cancelled"

    def delete(self, status: str, message_ids: list[str]) -> int:
        """Delete ended messages; return how many."""
        ended = {name for name in message_ids if name in self.entries and self.entries[name].status == status}
        for message_id in ended:
            del self.entries[message_id]
        return len(ended)

    # ── internal ──────────────────────────────────────────────────────────────────────────────────────────

    def _make_ready(self, entry: Entry, *, front: bool) -> None:
        entry.status = "queued"
        if entry.quarantined:
            self.quarantine.append(entry.id)
        else:
            queue = self.queues[entry.priority]
            queue.insert(0 if front else len(queue), entry.id)

    def _dead_letter(self, entry: Entry) -> None:
        entry.status = "failed"
        self._advance(entry)

    def _advance(self, entry: Entry) -> None:
        mailbox = self.mailboxes[entry.conversation]
        mailbox.remove(entry.id)
        if mailbox and self.entries[mailbox[0]].status == "deferred":
            self._make_ready(self.entries[mailbox[0]], front=False)
