"""The table, which updates only what changed."""

from typing import Any

import pytest
from textual.app import App, ComposeResult

from msgctl.tui.formatting import (
    format_moment,
    format_short_count,
    mask_secrets,
    sanitize,
    sparkline,
    wrap_line,
)
from msgctl.tui.widgets.chart import plot_line, stretch_values
from msgctl.tui.widgets.table import HIDDEN_WIDTH, ColumnHeading, Table, TableRow


class Stage(App[None]):
    """An app with nothing but a table."""

    def compose(self) -> ComposeResult:
        """The table."""
        yield Table(ColumnHeading("name", 10), ColumnHeading("count", 8, right=True), ColumnHeading("rest", 0))


async def test_table_updates_only_changed_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of 300 cells changes and one is written. A removed row leaves the others alone."""
    touched = []
    update = Table.update_cell

    def watched(table: Table, row: Any, column: Any, value: Any, **options: Any) -> None:
        touched.append((row, column))
        update(table, row, column, value, **options)

    monkeypatch.setattr(Table, "update_cell", watched)
    async with Stage().run_test() as pilot:
        table = pilot.app.query_one(Table)
        rows = [TableRow(f"k{n}", (f"name{n}", n, "")) for n in range(100)]
        table.show_rows(rows)
        table.show_rows(rows)
        assert touched == []
        rows[7] = TableRow("k7", ("name7", 8, ""))
        table.show_rows(rows)
        assert touched == [("7", "1")]
        table.show_rows(rows[:50])
        assert table.row_count == 50


async def test_cursor_follows_its_row() -> None:
    """When its row is removed, the cursor stays at its position."""
    async with Stage().run_test() as pilot:
        table = pilot.app.query_one(Table)
        rows = [TableRow(key, (key, 1, "")) for key in "abc"]
        table.show_rows(rows)
        table.move_cursor(row=1)
        table.show_rows([TableRow("new", ("new", 1, "")), *rows])
        assert table.selected_key == "b"
        table.show_rows([TableRow("new", ("new", 1, "")), rows[0], rows[2]])
        assert table.selected_key == "c"
        table.show_rows([])
        assert table.selected_key is None


class Flowing(App[None]):
    """An app with a table whose news come first."""

    def compose(self) -> ComposeResult:
        """The table."""
        yield Table(ColumnHeading("name", 10), newest_first=True)


async def test_cursor_on_newest_row_stays_first() -> None:
    """Once it was moved, it follows its row."""
    async with Flowing().run_test() as pilot:
        table = pilot.app.query_one(Table)
        table.show_rows(TableRow(key, (key,)) for key in "cba")
        table.show_rows(TableRow(key, (key,)) for key in "dcba")
        assert table.selected_key == "d"
        table.move_cursor(row=1)
        table.show_rows(TableRow(key, (key,)) for key in "edcba")
        assert table.selected_key == "c"


class Narrowing(App[None]):
    """An app with a table that leaves a column out where there is little room."""

    def compose(self) -> ComposeResult:
        """The table."""
        yield Table(
            ColumnHeading("name", 10), ColumnHeading("user", 8, narrow=HIDDEN_WIDTH), ColumnHeading("rest", 0)
        )


async def test_narrow_table_hides_column() -> None:
    """In a wide table the column returns with its values. The cursor keeps its row."""
    async with Narrowing().run_test(size=(140, 10)) as pilot:
        table = pilot.app.query_one(Table)
        table.show_rows(TableRow(key, (key, f"user-{key}", "rest")) for key in "abc")
        table.move_cursor(row=2)
        assert len(table.columns) == 3
        await pilot.resize_terminal(60, 10)
        await pilot.pause()
        assert len(table.columns) == 2
        assert table.selected_key == "c"
        table.show_rows(TableRow(key, (key, f"user-{key}", "changed")) for key in "abcd")
        assert table.detail == "changed"
        await pilot.resize_terminal(140, 10)
        await pilot.pause()
        assert str(table.get_row("3")[1]) == "user-d"


def test_text_is_sanitized_and_masked() -> None:
    """No control character is left, and a payload is escaped."""
    assert sanitize("a\x1b[2J\nb\u200b\u202e") == "a?[2J b??"
    assert mask_secrets({"token": "x", "a": [{"Password": 1, "b": "bot1:abc"}], "c": "\x1b[2J\n\u202e"}) == {
        "token": "(masked)",
        "a": [{"Password": "(masked)", "b": "bot[secret]"}],
        "c": "\\u001b[2J\\n\\u202e",
    }


def test_sparkline_counts_and_moments_are_short() -> None:
    """Any value above zero is visible, counts are short, and an old time is a date."""
    assert sparkline([0, 1, 1000]) == " ▁█"
    assert [format_short_count(one) for one in (9999, 12_345, 999_999, 1_234_567)] == [
        "9,999",
        "12k",
        "1000k",
        "1.23M",
    ]
    assert [format_moment(0, 1), format_moment(1000, 2000), format_moment(1000, 90_000_000)] == [
        "-",
        "00:00:01",
        "01 Jan",
    ]
    assert stretch_values([1, 2], 5) == [1, 1, 1, 2, 2]


def test_plot_line_has_no_gap() -> None:
    """A rise goes from the lower left to the upper right. Zeros are a line at the bottom."""
    assert plot_line([0, 8], 8, 4, 1) == ["⣀⡤⠖⠋"]
    assert plot_line([0, 0, 0], 1, 3, 2) == ["⠀⠀⠀", "⣀⣀⣀"]
    assert plot_line([0, 8, 0], 8, 2, 2)[0] != "⠀⠀"


def test_wrap_line_breaks_between_words() -> None:
    """Continuation lines are indented. A word longer than the line is cut."""
    assert wrap_line("  one two three", 11) == ["  one two", "     three"]
    assert wrap_line("", 10) == [""]
    assert all(len(piece) <= 12 for piece in wrap_line("x" * 40, 12))
    assert wrap_line("你好你好", 6) == ["你好你", "   好"]
