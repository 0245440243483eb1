"""Recordings: one snapshot every five seconds as a line of JSON, for a day at most."""

import asyncio
from pathlib import Path

import msgspec

from msgctl.domain.errors import ConfigurationError, InvalidInput
from msgctl.operations.dashboard.snapshot import Snapshot

RECORD_INTERVAL_S = 5.0
"""Seconds between two recorded snapshots."""
MAX_SNAPSHOTS = 17_280
"""Maximum number of snapshots in a file: one day."""
TRIM_FACTOR = 1.1
"""How many times the maximum a file may hold before its oldest part is removed."""

_snapshot_decoder = msgspec.json.Decoder(Snapshot)


class SnapshotRecorder:
    """Appends snapshots to a file, and removes the oldest.

    Args:
        path: the file. An existing one is continued.
        longest: the maximum number of snapshots.
    """

    def __init__(self, path: Path, longest: int = MAX_SNAPSHOTS) -> None:
        self._path = path
        self._max_snapshots = longest
        self._next_at_ms = 0
        try:
            with path.open("ab"), path.open("rb") as file:
                self._count = sum(1 for _ in file)
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be written: {error.strerror}.") from error

    async def record(self, snapshot: Snapshot) -> None:
        """Record a snapshot, if the interval is over."""
        if snapshot.at < self._next_at_ms:
            return
        self._next_at_ms = snapshot.at + round(RECORD_INTERVAL_S * 1000) - 250  # a refresh may come slightly early
        await asyncio.to_thread(self._append, snapshot.to_json())

    def _append(self, line: bytes) -> None:
        with self._path.open("ab") as file:
            file.write(line + b"\n")
        self._count += 1
        if self._count > self._max_snapshots * TRIM_FACTOR:
            kept = self._path.read_bytes().splitlines(keepends=True)[-self._max_snapshots :]
            shorter = self._path.with_name(f"{self._path.name}.new")
            shorter.write_bytes(b"".join(kept))
            shorter.replace(self._path)
            self._count = len(kept)


class SnapshotPlayer:
    """Steps through a recording.

    Args:
        path: a file of a `SnapshotRecorder`. An incomplete last line is ignored.

    Raises:
        InvalidInput: the file cannot be read, or has no snapshot.
    """

    def __init__(self, path: Path) -> None:
        try:
            lines = path.read_bytes().splitlines()
        except OSError as error:
            raise InvalidInput(f"{path} cannot be read: {error.strerror}.") from error
        self._lines = [line for line in lines if line.endswith(b"}")]
        self._index = 0
        if not self._lines:
            raise InvalidInput(f"{path} has no snapshot. Make a recording with `msgctl dash --record {path}`.")
        try:
            self.current()
        except msgspec.MsgspecError as error:
            raise InvalidInput(f"{path} is not a recording of `msgctl dash`: {error}.") from error

    @property
    def position(self) -> str:
        """Return the position as text."""
        return f"{self._index + 1}/{len(self._lines)}"

    def current(self) -> Snapshot:
        """Return the snapshot at the position."""
        return _snapshot_decoder.decode(self._lines[self._index])

    def step(self, count: int) -> None:
        """Step forward or back, up to either end."""
        self._index = min(max(0, self._index + count), len(self._lines) - 1)

    def seek(self, clock: str) -> None:
        """Go to the first snapshot at or after a time of day in UTC, `HH:MM` or `HH:MM:SS`, else to the last.

        Raises:
            InvalidInput: the text is not a time of day.
        """
        wanted = _seconds_of_day(clock)
        low, high = 0, len(self._lines) - 1
        first = _snapshot_decoder.decode(self._lines[0]).at // 1000
        target = first - first % 86_400 + wanted
        target += 86_400 if target < first else 0
        while low < high:
            middle = (low + high) // 2
            if _snapshot_decoder.decode(self._lines[middle]).at < target * 1000:
                low = middle + 1
            else:
                high = middle
        self._index = low


def _seconds_of_day(clock: str) -> int:
    parts = clock.split(":")
    if len(parts) not in (2, 3) or not all(part.isdecimal() for part in parts):
        raise InvalidInput(f"{clock!r} is not a time of day. Write 03:12 or 03:12:30.")
    hours, minutes, seconds = (int(part) for part in [*parts, "0"][:3])
    return hours * 3600 + minutes * 60 + seconds
