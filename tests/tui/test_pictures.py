"""The overview equals the drawings in the repository, at three sizes."""

from pathlib import Path

import pytest

from msgctl.config.settings import Settings
from tests.support.screenshots import FOLDER, SIZES, draw


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_overview_equals_drawing(size: tuple[int, int], tmp_path: Path) -> None:
    """`make screenshots` draws it again after an intended change."""
    text, _ = await draw(Settings(), tmp_path, size)
    assert text == (FOLDER / f"{size[0]}x{size[1]}.txt").read_text("utf-8")
