"""A chart of throughput and failures in characters: height tells how much, the axis how much that is."""

from textual.widgets import Static

from msgctl.operations.snapshot import BUCKET
from msgctl.tui.text import BARS, count, rate, sparkline

LABELS = 7
"""Cells left of the axis."""


class Chart(Static):
    """Draws what ended in each bucket of the last five minutes: answered as columns, dead letters below."""

    def draw(self, answered: list[int], failed: list[int]) -> None:
        """Show these counts, oldest first."""
        width, height = self.size.width, self.size.height
        if width > 2 * LABELS and height > 3:
            self.update("\n".join(_lines(answered, failed, width - LABELS - 1, height)))


def _lines(answered: list[int], failed: list[int], width: int, height: int) -> list[str]:
    top = max(*answered, 1)
    rows = columns(stretch(answered, width), top, height - 3)
    lines = [f"answered a second; dead letters {count(sum(failed))}"[: width + LABELS]]
    for place, row in enumerate(rows):
        label = rate(top / BUCKET) if place == 0 else "0" if place == len(rows) - 1 else ""
        lines.append(f"{label:>{LABELS - 1}} ┤{row}")
    lines.append(f"{'dead':>{LABELS - 1}} ┤{sparkline(stretch(failed, width))}")
    lines.append(f"{'':>{LABELS}}-5 min{'now':>{width - 5}}")
    return lines


def stretch(values: list[int], width: int) -> list[int]:
    """The values over so many cells, each as often as fits."""
    return [values[place * len(values) // width] for place in range(width)]


def columns(values: list[int], top: int, height: int) -> list[str]:
    """Columns of `height` rows, top row first; `top` is the value that fills them."""
    heights = [-(-value * height * 8 // top) for value in values]
    return [
        "".join(BARS[max(0, min(8, eighths - 8 * row))] for eighths in heights) for row in reversed(range(height))
    ]
