"""A message as its RQ job hash shows it. The hash is data, never code: no name stored in it is ever imported."""

from collections.abc import Mapping
from typing import Any, Self

import msgspec

from msgctl.domain.messages import Message, State
from msgctl.storage.redis import keys

STATE_BY_RQ_STATUS = {
    "queued": State.WAITING,
    "deferred": State.WAITING,
    "started": State.ACTIVE,
    "scheduled": State.DELAYED,
    "finished": State.COMPLETED,
    "failed": State.FAILED,
}
"""RQ's status as the outside sees it. `deferred` waits behind the head of its conversation."""


class Job(msgspec.Struct, kw_only=True, frozen=True):
    """Everything Redis knows of one message."""

    message: Message
    state: State
    progress: int
    """0 to 100."""
    attempts: int
    """Attempts that ended since it was accepted or last replayed: failures of its own, and the answered one."""
    runs: int
    """How often it was claimed, ever."""
    crashes: int
    """How often its worker was lost."""
    error: dict[str, Any] | None
    """`{class, code, text, at}` of its last failure."""
    finished_on: int | None
    """Unix milliseconds of its end."""
    created_at: str
    worker: str
    """The worker that runs it or ran it last."""
    failed_runs: list[dict[str, Any]]
    """One entry for each run that ended without an answer, lost workers included, oldest first: class, code and
    text of the error, when it started and ended, its length in ms."""
    replacement_id: str | None
    """The id of the message that was sent in its place, in other words."""
    superseded_id: str | None
    """The id of the dead letter in whose place it was sent."""

    @classmethod
    def from_hash(cls, fields: Mapping[str, str]) -> Self | None:
        """Read a job hash; None if it is not one of ours or cannot be read."""
        state = STATE_BY_RQ_STATUS.get(fields.get("status", ""))
        if state is None or keys.FIELD_MESSAGE not in fields:
            return None
        try:
            return cls(
                message=msgspec.json.decode(fields[keys.FIELD_MESSAGE], type=Message),
                state=state,
                progress=int(fields.get(keys.FIELD_PROGRESS, 0)),
                attempts=int(fields.get(keys.FIELD_ATTEMPTS, 0)),
                runs=int(fields.get(keys.FIELD_RUNS, 0)),
                crashes=int(fields.get(keys.FIELD_CRASHES, 0)),
                error=_decode_json(fields.get(keys.FIELD_ERROR)),
                finished_on=int(fields[keys.FIELD_FINISHED]) if keys.FIELD_FINISHED in fields else None,
                created_at=fields.get("created_at", ""),
                worker=fields.get("worker_name", ""),
                failed_runs=_read_failed_runs(fields),
                replacement_id=fields.get(keys.FIELD_EDITION),
                superseded_id=fields.get(keys.FIELD_ORIGINAL),
            )
        except (msgspec.MsgspecError, ValueError):
            return None


def job_data(message_id: str) -> str:
    """What RQ's `Job` finds as the call to make (JSON, uncompressed, as RQ reads it): only the id, no text."""
    return f'["{keys.JOB_FUNCTION}",null,["{message_id}"],{{}}]'


def refuse(message_id: str) -> None:
    """What a stock RQ worker would run if one were started on our queues.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError(f"{message_id} is worked by `msgctl start worker`, not by `rq worker`")


def _decode_json(text: str | None) -> Any:
    return msgspec.json.decode(text) if text else None


def _read_failed_runs(fields: Mapping[str, str]) -> list[dict[str, Any]]:
    kinds = (keys.FIELD_RUN, keys.FIELD_CRASH)
    names = [name for name in fields if name.startswith(kinds)]
    return [_decode_json(fields[name]) for name in sorted(names, key=lambda name: int(name.rpartition(":")[2]))]
