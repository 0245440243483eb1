"""What the runs of the whole pipeline came to: a row a pipeline and setting, and whether the goals are met."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from tools.bench import report
from tools.bench.load import Outcome
from tools.bench.measure import median

OURS = "msgctl"
BULL = "bull"


class Run(msgspec.Struct, frozen=True):
    """One load on one pipeline."""

    outcome: Outcome
    cpu: Mapping[str, float]
    """CPU seconds by part."""
    redis: float
    """CPU seconds of Redis."""
    memory: int
    foreign: float
    """Cores that processes of others kept busy meanwhile."""

    @property
    def app(self) -> float:
        """CPU seconds of all parts for 1,000 messages."""
        return self.per_thousand(sum(self.cpu.values()))

    def per_thousand(self, seconds: float) -> float:
        """CPU seconds for 1,000 messages."""
        return seconds / max(1, self.outcome.received) * 1000


class Cell(msgspec.Struct, frozen=True):
    """One row of the tables."""

    name: str
    delay: int
    """Milliseconds n8n takes."""
    concurrency: int
    saturated: list[Run] = msgspec.field(default_factory=list)
    paced: list[Run] = msgspec.field(default_factory=list)

    @property
    def setting(self) -> str:
        """What it shares with the other pipelines' cells."""
        return f"{self.delay}, {self.concurrency}"


Value = Callable[[Run], float]


class Goal(msgspec.Struct, frozen=True):
    """A figure of ours that is held against Bull's, the better of its forms."""

    text: str
    paced: bool
    value: Value
    best: Callable[[Sequence[float]], float] = min
    further: float = 0
    """What is wanted beyond it, as a share of Bull's."""

    def compare(self, ours: Cell, bulls: Sequence[Cell]) -> list[str]:
        """A row: ours, Bull's, their ratio, and what of the goal is met."""
        mine = self._of(ours)
        theirs = self.best([self._of(bull) for bull in bulls])
        met = self._judge(mine, theirs)
        if self.further:
            sign = "≥" if self.best is max else "≤"
            met += f"; {sign} {self.further:g} x: {self._judge(mine, theirs * self.further)}"
        return [ours.setting, self.text, f"{mine:.2f}", f"{theirs:.2f}", f"{mine / theirs:.2f} x", met]

    def _judge(self, mine: float, bound: float) -> str:
        return "yes" if (mine >= bound if self.best is max else mine <= bound) else "NO"

    def _of(self, cell: Cell) -> float:
        return median(map(self.value, cell.paced if self.paced else cell.saturated))


GOALS = (
    Goal("app CPU s / 1,000", paced=False, value=lambda run: run.app, further=0.6),
    Goal("messages/s", paced=False, value=lambda run: run.outcome.throughput, best=max, further=1.5),
    Goal("Redis CPU s / 1,000", paced=False, value=lambda run: run.per_thousand(run.redis)),
    Goal("50/s: p50 ms", paced=True, value=lambda run: run.outcome.overhead_ms.p50),
    Goal("50/s: p99 ms", paced=True, value=lambda run: run.outcome.overhead_ms.p99),
    Goal("50/s: POST p99 ms", paced=True, value=lambda run: run.outcome.post_ms.p99),
)


def tables(cells: Sequence[Cell], rounds: int, pace: int) -> list[report.Table]:
    """Everything measured, and the goals where Bull was measured too."""
    measured = [cell for cell in cells if cell.saturated]
    found = [_saturated(measured, rounds), _paced(measured, rounds, pace), _goals(measured)]
    return [table for table in found if table.rows]


def _saturated(cells: Sequence[Cell], rounds: int) -> report.Table:
    return report.Table(
        f"Saturation: REST in, WebSocket out; medians of {rounds} (RQ: one run)",
        [
            *("n8n ms, at once", "pipeline", "messages/s", "app CPU s / 1,000", "by process"),
            *("Redis CPU s / 1,000", "peak MB", "lost, twice", "others' cores"),
        ],
        [
            [
                cell.setting,
                cell.name,
                f"{_median(cell.saturated, lambda run: run.outcome.throughput):,.0f}",
                f"{_median(cell.saturated, lambda run: run.app):.2f}",
                _by_part(cell.saturated),
                f"{_median(cell.saturated, lambda run: run.per_thousand(run.redis)):.2f}",
                f"{_median(cell.saturated, lambda run: run.memory / 1e6):,.0f}",
                _faults(cell.saturated),
                f"{_median(cell.saturated, lambda run: run.foreign):.1f}",
            ]
            for cell in cells
        ],
    )


def _paced(cells: Sequence[Cell], rounds: int, pace: int) -> report.Table:
    return report.Table(
        f"{pace} messages a second: time above n8n's own; medians of {rounds} (RQ: one run)",
        [
            *("n8n ms, at once", "pipeline", "p50 ms", "p99 ms", "POST p99 ms"),
            *("app CPU s / 1,000", "Redis CPU s / 1,000"),
        ],
        [
            [
                cell.setting,
                cell.name,
                f"{_median(cell.paced, lambda run: run.outcome.overhead_ms.p50):.1f}",
                f"{_median(cell.paced, lambda run: run.outcome.overhead_ms.p99):.1f}",
                f"{_median(cell.paced, lambda run: run.outcome.post_ms.p99):.1f}",
                f"{_median(cell.paced, lambda run: run.app):.2f}",
                f"{_median(cell.paced, lambda run: run.per_thousand(run.redis)):.2f}",
            ]
            for cell in cells
        ],
    )


def _goals(cells: Sequence[Cell]) -> report.Table:
    rows = []
    for ours in cells:
        bulls = [cell for cell in cells if cell.name.split(",")[0] == BULL and cell.setting == ours.setting]
        if ours.name == OURS and bulls:
            rows += [goal.compare(ours, bulls) for goal in GOALS]
    return report.Table(
        "Goals: ours beside the better of Bull's two forms, figure by figure",
        ["n8n ms, at once", "figure", "msgctl", "Bull", "ratio", "as good as Bull; and further"],
        rows,
        "Bull in one process is its cheapest form, in two (API and worker apart, as ours are) its fastest.",
    )


def _by_part(runs: Sequence[Run]) -> str:
    parts = runs[0].cpu
    return ", ".join(f"{part} {median(run.per_thousand(run.cpu[part]) for run in runs):.2f}" for part in parts)


def _faults(runs: Sequence[Run]) -> str:
    return f"{sum(run.outcome.lost for run in runs)}, {sum(run.outcome.duplicates for run in runs)}"


def _median(runs: Sequence[Run], value: Value) -> float:
    return median(map(value, runs))
