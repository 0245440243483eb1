"""F21, F22 in short: replies while subscribers are killed. `make chaos-delivery` is the long form."""

from pathlib import Path

from chaos import delivery
from chaos.place import place


async def test_nothing_is_missed_or_doubled(tmp_path: Path) -> None:
    """600 replies, 4 kills -9: each arrived, none twice that is not marked, each conversation in order."""
    async with place(tmp_path) as where:
        report = await delivery.DeliveryStorm(where, delivery.SHORT).rage()
    assert (report.missed, report.doubled, report.inversions) == (0, 0, 0), report
    assert report.kills == delivery.SHORT.kills
    assert report.verdict.holds, report.verdict.violations
