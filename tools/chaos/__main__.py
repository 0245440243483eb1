"""`python -m tools.chaos`: everything, one after the other; exit code 0 if every promise was kept."""

import argparse
import asyncio
import logging
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import fields
from typing import Any

from rich.console import Console
from rich.table import Table

from msgctl.config.settings import Settings
from msgctl.observability import logs
from tools.chaos import (
    crash_messages,
    duplicates,
    fault_per_call,
    gateway_kills,
    outages,
    slow_clients,
    storm,
    subscriber_kills,
    worker_kills,
)
from tools.chaos.environment import Place, place

PAIRS = 10_000
console = Console(width=100)


async def run_storm(where: Place) -> bool:
    """20,000 messages while everything breaks."""
    return _tell(await storm.Storm(where, storm.FULL).rage())


async def run_deaths(where: Place) -> bool:
    """Workers killed one after the other: what they ran is at work again soon."""
    return _tell(await worker_kills.deaths(where, worker_kills.FULL))


async def run_poison(where: Place) -> bool:
    """Eight messages of 4,000 kill their workers."""
    return _tell(await crash_messages.poison(where, crash_messages.FULL))


async def run_pairs(where: Place) -> bool:
    """10,000 messages, each sent twice."""
    return _tell(await duplicates.pairs(where, PAIRS))


async def run_outages(where: Place) -> bool:
    """Redis away for 1, 6, 20 and 60 seconds."""
    return _tell(await outages.outages(where, outages.FULL))


async def run_delivery(where: Place) -> bool:
    """10,000 replies to phones while subscribers are killed."""
    return _tell(await subscriber_kills.DeliveryStorm(where, subscriber_kills.FULL).rage())


async def run_gateways(where: Place) -> bool:
    """10,000 replies to browsers while gateways and subscribers are killed."""
    return _tell(await gateway_kills.GatewayStorm(where, gateway_kills.FULL).rage())


async def run_slow(where: Place) -> bool:
    """1,000 clients that do not read, 20 on a dead line, and one who reads."""
    return _tell(await slow_clients.SlowClients(where, slow_clients.FULL).run())


async def run_calls(where: Place) -> bool:
    """A fault at each call of Redis in a life, beside RQ as it comes."""
    rows = [*await fault_per_call.every_call(where), *await fault_per_call.every_call_of_stock(where)]
    columns = ("system", "fault", "calls", "lost", "doubled", "failed", "extra_runs")
    table = Table(*(column.replace("_", " ") for column in columns))
    for row in rows:
        table.add_row(*(str(getattr(row, column)) for column in columns))
    console.print(table)
    for row in rows:
        for broken in row.broken:
            console.print(f"{row.fault}: {broken}")
    return not any(row.broken for row in rows)


TRIALS: dict[str, Callable[[Place], Awaitable[bool]]] = {
    "storm": run_storm,
    "deaths": run_deaths,
    "poison": run_poison,
    "pairs": run_pairs,
    "outages": run_outages,
    "delivery": run_delivery,
    "gateways": run_gateways,
    "slow": run_slow,
    "calls": run_calls,
}


async def run(names: list[str]) -> bool:
    """Run trials, each on servers of its own; whether all promises were kept."""
    verdicts: dict[str, bool] = {}
    for name in names:
        begun = time.monotonic()
        console.rule(f"{name}: {(TRIALS[name].__doc__ or '').rstrip('.')}")
        try:
            async with place() as where:
                held = await TRIALS[name](where)
        except Exception:  # noqa: BLE001 - a trial that breaks off has failed, and the others go on
            console.print_exception()
            held = False
        console.print(f"{_word(held)} after {time.monotonic() - begun:.0f} s")
        verdicts[name] = held
    console.rule("all")
    console.print(", ".join(f"{name} {_word(held)}" for name, held in verdicts.items()))
    return all(verdicts.values())


def _word(held: bool) -> str:  # noqa: FBT001 - it is what the word says
    return "[green]kept[/]" if held else "[red]BROKEN[/]"


def _tell(report: Any) -> bool:
    """Print a report, a line a fact; whether it holds."""
    for fact in fields(report):
        value = getattr(report, fact.name)
        if fact.name == "verdict":
            for violation in value.violations[:20]:
                console.print(f"  {violation.code} {violation.subject}: {violation.text}")
            value = "no violation" if value.holds else f"{len(value.violations)} violations"
        elif isinstance(value, list):
            value = "".join(f"\n    {one}" for one in value)
        elif isinstance(value, float):
            value = f"{value:.3g}"
        console.print(f"  {fact.name.replace('_', ' '):26} {value}")
    return bool(report.holds)


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(prog="python -m tools.chaos", description="Does harm; looks whether it hurt.")
    parser.add_argument("trials", nargs="*", metavar="TRIAL", help=f"of {', '.join(TRIALS)}; default: all")
    names = parser.parse_args().trials or list(TRIALS)
    unknown = set(names) - set(TRIALS)
    if unknown:
        parser.error(f"no such trial: {', '.join(sorted(unknown))}")
    logs.configure(Settings(), daemon="chaos")
    logging.disable(
        logging.CRITICAL
    )  # what the workers inside this process complain of is done to them on purpose
    sys.exit(0 if asyncio.run(run(names)) else 1)


if __name__ == "__main__":
    main()
