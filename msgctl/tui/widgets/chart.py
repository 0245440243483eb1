"""Two line charts in Braille dots: completed and dead messages in each bucket of the last five minutes."""

from collections.abc import Sequence

from textual.widgets import Static

from msgctl.operations.dashboard.snapshot import BUCKET_S
from msgctl.tui.formatting import format_count, format_rate

LABEL_WIDTH = 7
"""Cells left of the axis."""
MIN_HEIGHT = 8
BRAILLE_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""The Braille bits of the left and the right column of a cell, from the top."""
BRAILLE_BLANK = 0x2800


class ThroughputChart(Static):
    """Draws throughput above and dead letters below, each on its own axis."""

    def show_counts(self, answered: list[int], failed: list[int]) -> None:
        """Show counts, oldest first.

        The last bucket is not complete and would look like a drop, so it is counted but not drawn.
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
    """Draw values as a line of dots, two across and four down in each cell. `top` is the value of the edge."""
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
    """Return the value at a position, from 0 at the first value to 1 at the last."""
    place = share * (len(values) - 1)
    left = min(int(place), len(values) - 2)
    return values[left] + (values[left + 1] - values[left]) * (place - left)


def stretch_values(values: list[int], width: int) -> list[int]:
    """Spread values over a number of cells, each as often as it fits."""
    return [values[place * len(values) // width] for place in range(width)]
