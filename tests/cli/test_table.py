"""Tables for people, at the widths they have."""

from msgctl.cli.framework.table import render_table

HEADINGS = ["id", "state", "user", "error"]
ID = "0be99991-5e38-4ca2-b09c-c36f7002f344"


def drawn(rows: list[list[str]], width: int, headings: list[str] = HEADINGS) -> str:
    """A table as it stands on a terminal, with a margin that keeps the lines apart from the code."""
    lines = list(render_table(headings, rows, width))
    assert all(len(line) <= width for line in lines)
    return "\n" + "\n".join(lines) + "\n"


def test_a_table_that_fits_is_one_line_a_row() -> None:
    """Columns are as wide as their widest cell, under a rule as wide as all of them."""
    rows = [[ID, "completed", "ana", "-"], ["m1", "failed", "bob", "HTTP 500"]]
    assert (
        drawn(rows, 80)
        == """
id                                    state      user  error
───────────────────────────────────────────────────────────────
0be99991-5e38-4ca2-b09c-c36f7002f344  completed  ana   -
m1                                    failed     bob   HTTP 500
"""
    )


def test_a_long_text_is_folded_between_words_while_that_is_readable() -> None:
    """The widest column gives way, and no other is touched."""
    rows = [["m1", "failed", "bob", "n8n answered HTTP 500: the workflow failed, see its executions in n8n."]]
    assert (
        drawn(rows, 60)
        == """
id  state   user  error
────────────────────────────────────────────────────────────
m1  failed  bob   n8n answered HTTP 500: the workflow
                  failed, see its executions in n8n.
"""
    )


def test_what_has_no_room_stands_below_its_row_and_names_itself() -> None:
    """From the right, until the rest fits; an absent cell is not worth a line."""
    text = "n8n answered HTTP 500: the workflow failed, see its executions in n8n."
    rows = [[ID, "completed", "ana", "-"], [ID, "failed", "bob", text]]
    assert (
        drawn(rows, 60)
        == """
id                                    state      user
─────────────────────────────────────────────────────
0be99991-5e38-4ca2-b09c-c36f7002f344  completed  ana
0be99991-5e38-4ca2-b09c-c36f7002f344  failed     bob
    error: n8n answered HTTP 500: the workflow failed, see
    its executions in n8n.
"""
    )


def test_pairs_need_no_headings() -> None:
    """A record is a pair a line, its value folded beside its name."""
    rows = [["state", "failed"], ["message", "one two three four five six seven eight"]]
    assert (
        drawn(rows, 40, ["", ""])
        == """
state    failed
message  one two three four five six
         seven eight
"""
    )


def test_wide_characters_count_as_two_columns() -> None:
    """What is written in Chinese or with emoji stays in its column."""
    assert list(render_table(["a", "b"], [["漢字", "x"], ["ab", "y"]], 80))[2:] == ["漢字  x", "ab    y"]
