"""F20 to F22 in short: responses are delivered while subscribers and gateways die and clients do not read.

`make chaos-delivery` is the long form.
"""

from pathlib import Path

from tools.chaos import gateway_kills, slow_clients, subscriber_kills
from tools.chaos.environment import place


async def test_killed_subscribers_lose_and_duplicate_no_response(tmp_path: Path) -> None:
    """600 responses, 4 kills -9: each arrives, only marked ones twice, and each conversation is in order."""
    async with place(tmp_path) as where:
        report = await subscriber_kills.DeliveryStorm(where, subscriber_kills.SHORT).rage()
    assert (report.missed, report.doubled, report.inversions) == (0, 0, 0), report
    assert report.kills == subscriber_kills.SHORT.kills
    assert report.verdict.holds, report.verdict.violations


async def test_killed_gateways_lose_and_duplicate_no_response(tmp_path: Path) -> None:
    """600 responses to 20 clients, 4 kills -9 of gateways and subscribers: each client gets each response once."""
    async with place(tmp_path) as where:
        report = await gateway_kills.GatewayStorm(where, gateway_kills.SHORT).rage()
    assert (report.missed, report.doubled, report.not_recovered) == (0, 0, 0), report
    assert report.verdict.holds, report.verdict.violations


async def test_slow_clients_do_not_affect_others(tmp_path: Path) -> None:
    """F20: 40 clients that do not read are closed (4408), 5 on a dead line are dropped, and nothing is lost."""
    async with place(tmp_path) as where:
        report = await slow_clients.SlowClients(where, slow_clients.SHORT).run()
    assert report.closed_4408 > 0, report
    assert (report.others_missed, report.lost_after_resume) == (0, 0), report
    assert report.megabytes_each <= slow_clients.MOST_MEMORY, report
    assert report.dark in (0, slow_clients.SHORT.dark)
