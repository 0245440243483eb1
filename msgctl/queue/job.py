"""A message as stored in its RQ job hash. The hash is data: no name stored in it is ever imported."""

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
"""The state that users see for each status of RQ. A `deferred` message waits behind its conversation's head."""


class Job(msgspec.Struct, kw_only=True, frozen=True):
    """All that Redis stores about one message."""

    message: Message
    state: State
    progress: int
    """0 to 100."""
    attempts: int
    """Runs that count as attempts since it was accepted or last replayed: its own failures and its success."""
    runs: int
    """How many times it was claimed in total."""
    crashes: int
    """How many times its worker was lost."""
    error: dict[str, Any] | None
    """`{class, code, text, at}` of its last failure, if any."""
    finished_on: int | None
    """Unix milliseconds at which it ended, if it has."""
    created_at: str
    worker: str
    """The worker of its current or last run."""
    failed_runs: list[dict[str, Any]]
    """One entry for each run that ended without an answer, crashes included, oldest first: class, code, and text
    of the error, start, end, and duration in ms."""
    replacement_id: str | None
    """The id of the edited message that was sent in its place."""
    superseded_id: str | None
    """The id of the dead letter that it replaces."""

    @classmethod
    def from_hash(cls, fields: Mapping[str, str]) -> Self | None:
        """Read a job hash; return None if msgctl did not write it or it cannot be read."""
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
    """Return the `data` field of RQ's `Job`, uncompressed JSON: the function to call, with the id and no text."""
    return f'["{keys.JOB_FUNCTION}",null,["{message_id}"],{{}}]'


def refuse(message_id: str) -> None:
    """Refuse to run: a stock RQ worker would call this function if one were started on these queues.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError(f"{message_id} is processed by `msgctl start worker`, not by `rq worker`")


def _decode_json(text: str | None) -> Any:
    return msgspec.json.decode(text) if text else None


def _read_failed_runs(fields: Mapping[str, str]) -> list[dict[str, Any]]:
    names = [name for name in fields if name.startswith((keys.FIELD_RUN, keys.FIELD_CRASH))]
    return [_decode_json(fields[name]) for name in sorted(names, key=lambda name: int(name.rpartition(":")[2]))]
