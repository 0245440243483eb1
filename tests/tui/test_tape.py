"""Recordings: kept, bounded, and looked at after the fact."""

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
    """So many snapshots, five seconds apart."""
    recorder = SnapshotRecorder(path, longest)
    for number in range(count):
        await recorder.record(sample(AT + number * 5000))


async def test_a_recording_is_played_again(tmp_path: Path) -> None:
    """What was seen is seen again; it stops at either end; 03:12 is found."""
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


async def test_more_than_one_look_in_five_seconds_is_not_kept(tmp_path: Path) -> None:
    """Dashboards that look each half second record as much as others."""
    path = tmp_path / "night.jsonl"
    recorder = SnapshotRecorder(path)
    for number in range(20):
        await recorder.record(sample(AT + number * 500))
    assert len(path.read_bytes().splitlines()) == 2


async def test_a_recording_is_bounded(tmp_path: Path) -> None:
    """The oldest snapshots go when there are too many, the newest stay."""
    path = tmp_path / "night.jsonl"
    await record(path, 200, longest=50)
    lines = await asyncio.to_thread(path.read_bytes)
    assert 50 <= len(lines.splitlines()) <= 56
    player = SnapshotPlayer(path)
    player.step(9999)
    assert player.current().at == AT + 199 * 5000


async def test_a_line_that_was_cut_short_is_passed_over(tmp_path: Path) -> None:
    """The recorder may have been killed while it wrote."""
    path = tmp_path / "night.jsonl"
    await record(path, 2)
    path.write_bytes(path.read_bytes()[:-20])
    assert SnapshotPlayer(path).position == "1/1"


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    """Neither nothing, nor an empty file, nor something else."""
    other = tmp_path / "other"
    with pytest.raises(InvalidInput, match="cannot be read"):
        SnapshotPlayer(other)
    other.write_text("")
    with pytest.raises(InvalidInput, match="holds no snapshot"):
        SnapshotPlayer(other)
    other.write_text('{"a": 1}\n')
    with pytest.raises(InvalidInput, match="no recording"):
        SnapshotPlayer(other)
    with pytest.raises(ConfigurationError, match="cannot be written"):
        SnapshotRecorder(tmp_path / "no" / "such" / "folder")


async def test_the_dashboard_records(desk: DashboardContext, tmp_path: Path) -> None:
    """What it looks at lands in the file."""
    path = tmp_path / "night.jsonl"
    desk.recorder = SnapshotRecorder(path)
    async with looking(desk) as sight:
        await sight.shows("recording")
        await until(lambda: path.stat().st_size > 0, "a snapshot")
    assert SnapshotPlayer(path).current().health.stats is not None


async def test_the_dashboard_plays(desk: DashboardContext, tmp_path: Path) -> None:
    """Keys and :at move in time; what no recording holds is said; nothing can be changed."""
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
            await sight.shows("A recording holds the overview")
