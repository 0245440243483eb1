"""The units of this machine: would systemd kill a daemon in the middle of its work?"""

import asyncio
import shutil
from collections.abc import Mapping

from msgctl.config.settings import Settings
from msgctl.operations.checks.doctor.finding import Finding, fine, trouble

STOP_MARGIN_S = 10
"""Seconds that a stop should have beyond the deadline of the drain."""


async def check_units(settings: Settings) -> list[Finding]:
    """Does a stop leave each daemon the time that it is configured to drain for?"""
    program = shutil.which("systemctl")
    if program is None:
        return [fine("units", "no systemd here")]
    found = []
    for daemon, (setting, deadline) in _drain_deadlines(settings).items():
        unit = f"msgctl-{daemon}@1.service"
        facts = await _show_unit(program, unit)
        if facts.get("LoadState") == "loaded":
            found += check_unit(unit, facts, setting=setting, deadline=deadline) or [
                fine("units", f"{unit} drains")
            ]
    return found or [fine("units", "not installed on this machine")]


def check_unit(unit: str, facts: Mapping[str, str], *, setting: str, deadline: float) -> list[Finding]:
    """What is wrong with the way in which a unit is stopped.

    Args:
        unit: its name.
        facts: KillMode and TimeoutStopUSec, as `systemctl show` prints them.
        setting: what says how long the daemon drains.
        deadline: that, in seconds.
    """
    found = []
    if facts.get("KillMode") not in {"mixed", "process"}:
        what = f"KillMode of {unit} is {facts.get('KillMode')}."
        why = "A stop reaches its children, too, and kills what they run."
        found.append(trouble("units", "unit_kill_mode", what, why=why, mend=f"KillMode=mixed in {unit}"))
    timeout = facts.get("TimeoutStopUSec", "infinity")
    if _parse_timespan_s(timeout) <= deadline:
        what = f"TimeoutStopSec of {unit} is {timeout}, not more than {setting}, {deadline:g} s."
        why = "What runs is killed at each deployment instead of ending."
        mend = f"TimeoutStopSec={deadline + STOP_MARGIN_S:.0f} in {unit}"
        found.append(trouble("units", "unit_timeout", what, why=why, mend=mend))
    return found


def _drain_deadlines(settings: Settings) -> dict[str, tuple[str, float]]:
    return {
        "worker": ("[worker] drain", settings.worker.drain),
        "subscriber": ("[delivery] timeout", settings.delivery.timeout),
    }


async def _show_unit(program: str, unit: str) -> dict[str, str]:
    process = await asyncio.create_subprocess_exec(
        program,
        *("show", unit, "--property=LoadState,KillMode,TimeoutStopUSec"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    text, _ = await process.communicate()
    return dict(line.split("=", 1) for line in text.decode().splitlines() if "=" in line)


def _parse_timespan_s(text: str) -> float:
    """Seconds in systemd's `2min 20s`; of `infinity` and the like very many."""
    units = {"h": 3600.0, "min": 60.0, "s": 1.0, "ms": 0.001, "us": 1e-6}
    total = 0.0
    for word in text.split():
        number = word.rstrip("abcdefghijklmnopqrstuvwxyz")
        if not number or word[len(number) :] not in units:
            return float("inf")
        total += float(number) * units[word[len(number) :]]
    return total
