"""The overview looks as it is drawn in the repository, at three sizes."""

from pathlib import Path

import pytest

from msgctl.config.settings import Settings
from tests.support.screenshots import FOLDER, SIZES, draw


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_the_overview_looks_as_drawn(size: tuple[int, int], tmp_path: Path) -> None:
    """Letter by letter; `make screenshots` draws it anew when it is meant to change."""
    text, _ = await draw(Settings(), tmp_path, size)
    assert text == (FOLDER / f"{size[0]}x{size[1]}.txt").read_text("utf-8")
