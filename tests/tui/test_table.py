"""The table patches: what is the same is not touched."""

from typing import Any

import pytest
from textual.app import App, ComposeResult

from msgctl.tui.text import clean, masked, span, sparkline
from msgctl.tui.widgets.chart import columns, stretch
from msgctl.tui.widgets.table import Heading, Row, Table


class Stage(App[None]):
    """An app with nothing but a table."""

    def compose(self) -> ComposeResult:
        """The table."""
        yield Table(Heading("name", 10), Heading("count", 8, right=True), Heading("rest", 0))


async def test_only_cells_that_changed_are_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 300 cells one changed: one is written; a row that goes takes no other with it."""
    touched = []
    update = Table.update_cell

    def watched(table: Table, row: Any, column: Any, value: Any, **options: Any) -> None:
        touched.append((row, column))
        update(table, row, column, value, **options)

    monkeypatch.setattr(Table, "update_cell", watched)
    async with Stage().run_test() as pilot:
        table = pilot.app.query_one(Table)
        rows = [Row(f"k{n}", (f"name{n}", n, "")) for n in range(100)]
        table.show(rows)
        table.show(rows)
        assert touched == []
        rows[7] = Row("k7", ("name7", 8, ""))
        table.show(rows)
        assert touched == [("7", "1")]
        table.show(rows[:50])
        assert table.row_count == 50


async def test_the_cursor_follows_its_row() -> None:
    """Rows that come before it push it down; when its row goes, it stays where it was."""
    async with Stage().run_test() as pilot:
        table = pilot.app.query_one(Table)
        rows = [Row(key, (key, 1, "")) for key in "abc"]
        table.show(rows)
        table.move_cursor(row=1)
        table.show([Row("new", ("new", 1, "")), *rows])
        assert table.chosen == "b"
        table.show([Row("new", ("new", 1, "")), rows[0], rows[2]])
        assert table.chosen == "c"
        table.show([])
        assert table.chosen is None


def test_texts_are_cleaned() -> None:
    """Nothing that moves a cursor is left, and secrets are masked."""
    assert clean("a\x1b[2J\nb\u200b\u202e") == "a?[2J b??"
    assert masked({"token": "x", "a": [{"Password": 1, "b": "bot1:abc"}]}) == {
        "token": "(masked)",
        "a": [{"Password": "(masked)", "b": "bot[secret]"}],
    }


def test_small_arts() -> None:
    """Anything but nothing is seen; spans are short; columns fill upwards."""
    assert sparkline([0, 1, 1000]) == " ▁█"
    assert [span(one) for one in (None, 5, 90, 7200, 90_000)] == ["-", "5s", "2m", "2h", "1d"]
    assert columns([0, 4, 8], 8, 2) == ["  █", " ██"]
    assert stretch([1, 2], 5) == [1, 1, 1, 2, 2]
