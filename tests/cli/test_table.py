"""Tables for people, at several widths."""

from msgctl.cli.framework.table import render_table

HEADINGS = ["id", "state", "user", "error"]
ID = "0be99991-5e38-4ca2-b09c-c36f7002f344"


def draw(rows: list[list[str]], width: int, headings: list[str] = HEADINGS) -> str:
    """Return a table as lines, after checking that each line fits the width."""
    lines = list(render_table(headings, rows, width))
    assert all(len(line) <= width for line in lines)
    return "\n" + "\n".join(lines) + "\n"


def test_table_that_fits_has_one_line_for_each_row() -> None:
    """Columns are as wide as their widest cell, under a rule as wide as the table."""
    rows = [[ID, "completed", "ana", "-"], ["m1", "failed", "bob", "HTTP 500"]]
    assert (
        draw(rows, 80)
        == """
id                                    state      user  error
───────────────────────────────────────────────────────────────
0be99991-5e38-4ca2-b09c-c36f7002f344  completed  ana   -
m1                                    failed     bob   HTTP 500
"""
    )


def test_long_text_is_folded_in_its_column() -> None:
    """Only the widest column is folded."""
    rows = [["m1", "failed", "bob", "n8n answered HTTP 500: the workflow failed, see its executions in n8n."]]
    assert (
        draw(rows, 60)
        == """
id  state   user  error
────────────────────────────────────────────────────────────
m1  failed  bob   n8n answered HTTP 500: the workflow
                  failed, see its executions in n8n.
"""
    )


def test_column_without_room_is_printed_below_its_row() -> None:
    """Columns are moved from the right until the rest fits. Empty cells are left out."""
    text = "n8n answered HTTP 500: the workflow failed, see its executions in n8n."
    rows = [[ID, "completed", "ana", "-"], [ID, "failed", "bob", text]]
    assert (
        draw(rows, 60)
        == """
id                                    state      user
─────────────────────────────────────────────────────
0be99991-5e38-4ca2-b09c-c36f7002f344  completed  ana
0be99991-5e38-4ca2-b09c-c36f7002f344  failed     bob
    error: n8n answered HTTP 500: the workflow failed, see
    its executions in n8n.
"""
    )


def test_pairs_are_drawn_without_headings() -> None:
    """A long value is folded beside its name."""
    rows = [["state", "failed"], ["message", "one two three four five six seven eight"]]
    assert (
        draw(rows, 40, ["", ""])
        == """
state    failed
message  one two three four five six
         seven eight
"""
    )


def test_wide_characters_count_as_two_columns() -> None:
    """Chinese text and emoji stay in their column."""
    assert list(render_table(["a", "b"], [["漢字", "x"], ["ab", "y"]], 80))[2:] == ["漢字  x", "ab    y"]
