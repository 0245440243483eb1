"""Two line charts in dots: what was answered and what died in each bucket of the last five minutes."""

from collections.abc import Sequence

from textual.widgets import Static

from msgctl.operations.dashboard.snapshot import BUCKET_S
from msgctl.tui.formatting import format_count, format_rate

LABEL_WIDTH = 7
"""Cells left of the axis."""
MIN_HEIGHT = 8
BRAILLE_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""Braille's bits: of the left and of the right column of a cell, from its top."""
BRAILLE_BLANK = 0x2800


class ThroughputChart(Static):
    """Draws throughput above and dead letters below, each on an axis of its own."""

    def show_counts(self, answered: list[int], failed: list[int]) -> None:
        """Show these counts, oldest first.

        The last bucket is still filling and would look like a fall: it is counted, not drawn.
        """
        width, height = self.size.width - LABEL_WIDTH - 1, self.size.height
        if width > LABEL_WIDTH and height >= MIN_HEIGHT:
            self.update("\n".join(_lines(answered[:-1], failed[:-1], width, height, dead=sum(failed))))


def _lines(answered: list[int], failed: list[int], width: int, height: int, *, dead: int) -> list[str]:
    below = max(2, (height - 3) // 4)
    speed, deaths = max(*answered, 1), max(*failed, 1)
    return [
        "answered a second"[: width + LABEL_WIDTH],
        *_label_axis(plot_line(answered, speed, width, height - 3 - below), format_rate(speed / BUCKET_S)),
        f"dead letters: {format_count(dead)} in the last 5 min"[: width + LABEL_WIDTH],
        *_label_axis(plot_line(failed, deaths, width, below), format_count(deaths)),
        f"{'':>{LABEL_WIDTH}}-5 min{'now':>{width - 5}}",
    ]


def _label_axis(rows: list[str], top: str) -> list[str]:
    labels = [top, *[""] * (len(rows) - 2), "0"]
    return [f"{label:>{LABEL_WIDTH - 1}} ┤{row}" for label, row in zip(labels, rows, strict=True)]


def plot_line(values: Sequence[int], top: int, width: int, height: int) -> list[str]:
    """The values as a line of dots, two to a cell across and four down; `top` is the value at the upper edge."""
    across, down = 2 * width, 4 * height
    cells = [[BRAILLE_BLANK] * width for _ in range(height)]
    before = None
    for x in range(across):
        y = round(_interpolate(values, x / max(1, across - 1)) / top * (down - 1))
        for dot in range(min(y, before if before is not None else y), max(y, before or 0) + 1):
            row, depth = divmod(down - 1 - dot, 4)
            cells[row][x // 2] |= BRAILLE_DOTS[x % 2][depth]
        before = y
    return ["".join(map(chr, row)) for row in cells]


def _interpolate(values: Sequence[int], share: float) -> float:
    """The value at a share, 0 to 1, of the way along them."""
    place = share * (len(values) - 1)
    left = min(int(place), len(values) - 2)
    return values[left] + (values[left + 1] - values[left]) * (place - left)


def stretch_values(values: list[int], width: int) -> list[int]:
    """The values over so many cells, each as often as fits."""
    return [values[place * len(values) // width] for place in range(width)]
