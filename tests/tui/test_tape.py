"""Recordings: writing, limits, and playback."""

import asyncio
from pathlib import Path

import pytest

from msgctl.domain.errors import ConfigurationError, InvalidInput
from msgctl.tui.context import DashboardContext
from msgctl.tui.recording import SnapshotPlayer, SnapshotRecorder
from tests.support.dashboard import looking
from tests.support.dashboard_sample import AT, sample
from tools.support.daemons import until


async def record(path: Path, count: int, longest: int = 1000) -> None:
    """Record a number of snapshots, five seconds apart."""
    recorder = SnapshotRecorder(path, longest)
    for number in range(count):
        await recorder.record(sample(AT + number * 5000))


async def test_player_steps_and_seeks(tmp_path: Path) -> None:
    """It stops at either end, and finds 03:12."""
    path = tmp_path / "night.jsonl"
    await record(path, 300)
    player = SnapshotPlayer(path)
    assert player.current() == sample(AT)
    player.step(-1)
    assert player.position == "1/300"
    player.seek("03:12")
    assert player.current().at == AT + 12 * 60_000
    player.step(9999)
    assert player.position == "300/300"


async def test_recorder_keeps_one_snapshot_per_interval(tmp_path: Path) -> None:
    """A dashboard that refreshes each half second records no more than others."""
    path = tmp_path / "night.jsonl"
    recorder = SnapshotRecorder(path)
    for number in range(20):
        await recorder.record(sample(AT + number * 500))
    assert len(path.read_bytes().splitlines()) == 2


async def test_recorder_removes_oldest_snapshots(tmp_path: Path) -> None:
    """The newest stay."""
    path = tmp_path / "night.jsonl"
    await record(path, 200, longest=50)
    lines = await asyncio.to_thread(path.read_bytes)
    assert 50 <= len(lines.splitlines()) <= 56
    player = SnapshotPlayer(path)
    player.step(9999)
    assert player.current().at == AT + 199 * 5000


async def test_player_ignores_incomplete_last_line(tmp_path: Path) -> None:
    """The recorder may have been killed while writing."""
    path = tmp_path / "night.jsonl"
    await record(path, 2)
    path.write_bytes(path.read_bytes()[:-20])
    assert SnapshotPlayer(path).position == "1/1"


def test_player_refuses_invalid_files(tmp_path: Path) -> None:
    """A missing, an empty, and another kind of file."""
    other = tmp_path / "other"
    with pytest.raises(InvalidInput, match="cannot be read"):
        SnapshotPlayer(other)
    other.write_text("")
    with pytest.raises(InvalidInput, match="has no snapshot"):
        SnapshotPlayer(other)
    other.write_text('{"a": 1}\n')
    with pytest.raises(InvalidInput, match="not a recording"):
        SnapshotPlayer(other)
    with pytest.raises(ConfigurationError, match="cannot be written"):
        SnapshotRecorder(tmp_path / "no" / "such" / "folder")


async def test_dashboard_writes_recording(desk: DashboardContext, tmp_path: Path) -> None:
    """Each snapshot that it shows is in the file."""
    path = tmp_path / "night.jsonl"
    desk.recorder = SnapshotRecorder(path)
    async with looking(desk) as sight:
        await sight.shows("recording")
        await until(lambda: path.stat().st_size > 0, "a snapshot")
    assert SnapshotPlayer(path).current().health.stats is not None


async def test_dashboard_plays_recording(desk: DashboardContext, tmp_path: Path) -> None:
    """Keys and `:at` move in time, missing data is named, and changes are refused."""
    path = tmp_path / "night.jsonl"
    await record(path, 300)
    desk.player = SnapshotPlayer(path)
    async with looking(desk) as sight:
        await sight.press("p")
        await sight.shows("RECORDING PLAYED")
        await sight.press("colon")
        await sight.type("at 03:12")
        await sight.shows("03:12:00 UTC")
        await sight.press("full_stop")
        await sight.shows("03:12:05 UTC")
        await sight.press("less_than_sign")
        await sight.shows("03:11:05 UTC")
        for key in "2357":
            await sight.press(key)
            await sight.shows("A recording has the overview")
