"""Bars as SVG, drawn here: a library for pictures would be larger than the benches."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import msgspec

WIDTH, LABEL, BAR, GAP, HEAD = 760, 230, 18, 6, 34
COLOURS = ("#2563eb", "#b45309", "#d97706", "#7c3aed", "#64748b", "#0f766e")
INK = "#475569"
"""Readable on a white page and on a dark one."""


class Chart(msgspec.Struct, frozen=True):
    """One group of bars after the other, all to one scale."""

    title: str
    groups: Mapping[str, Mapping[str, float]]
    """By what a group shows, the values by series; a series has its colour in every group."""

    def draw(self, top: int) -> tuple[list[str], int]:
        """The marks, and how far down they reach."""
        series = list(dict.fromkeys(name for group in self.groups.values() for name in group))
        most = max((value for group in self.groups.values() for value in group.values()), default=1) or 1
        marks = [_text(0, top + 20, self.title, weight="bold")]
        at = top + HEAD
        for label, group in self.groups.items():
            marks.append(_text(0, at + BAR - 4, label))
            for name, value in group.items():
                length = value / most * (WIDTH - LABEL - 190)
                colour = COLOURS[series.index(name) % len(COLOURS)]
                marks.append(
                    f'<rect x="{LABEL}" y="{at}" width="{length:.1f}" height="{BAR}" fill="{colour}"/>'
                    + _text(LABEL + length + 6, at + BAR - 4, f"{_short(value)}  {name}")
                )
                at += BAR + 2
            at += GAP
        return marks, at


def write(file: Path, charts: Sequence[Chart]) -> None:
    """Draw charts below each other into an SVG file."""
    marks, bottom = [], 0
    for chart in charts:
        drawn, bottom = chart.draw(bottom)
        marks += drawn
        bottom += GAP * 2
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom}" width="{WIDTH}" height="{bottom}"'
        ' font-family="system-ui, sans-serif" font-size="12">'
    )
    file.write_text("\n".join([head, *marks, "</svg>"]) + "\n", "utf-8")


def _text(x: float, y: float, text: str, *, weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{INK}" font-weight="{weight}">{escape(text)}</text>'


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
