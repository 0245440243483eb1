"""Checks of the systemd units of this machine: does a stop leave each daemon enough time?"""

import asyncio
import shutil
from collections.abc import Mapping

from msgctl.config.settings import Settings
from msgctl.operations.checks.findings import Finding, passed, trouble

STOP_MARGIN_S = 10
"""Seconds that the timeout of a stop should exceed the deadline of the drain by."""


async def check_units(settings: Settings) -> list[Finding]:
    """Check that a stop leaves each daemon the time that its settings give it to drain."""
    program = shutil.which("systemctl")
    if program is None:
        return [passed("units", "no systemd here")]
    findings = []
    for daemon, (setting, deadline) in _drain_deadlines(settings).items():
        unit = f"msgctl-{daemon}@1.service"
        properties = await _show_unit(program, unit)
        if properties.get("LoadState") == "loaded":
            findings += check_unit(unit, properties, setting=setting, deadline=deadline) or [
                passed("units", f"{unit} drains")
            ]
    return findings or [passed("units", "not installed on this machine")]


def check_unit(unit: str, properties: Mapping[str, str], *, setting: str, deadline: float) -> list[Finding]:
    """Check how systemd stops a unit.

    Args:
        unit: the name of the unit.
        properties: KillMode and TimeoutStopUSec, as `systemctl show` prints them.
        setting: the name of the setting that limits the drain.
        deadline: its value in seconds.
    """
    findings = []
    if properties.get("KillMode") not in {"mixed", "process"}:
        text = f"KillMode of {unit} is {properties.get('KillMode')}."
        impact = "A stop also signals the child processes and kills the messages that they run."
        findings.append(
            trouble("units", "unit_kill_mode", text, impact=impact, remedy=f"KillMode=mixed in {unit}")
        )
    timeout = properties.get("TimeoutStopUSec", "infinity")
    if _parse_timespan_s(timeout) <= deadline:
        text = f"TimeoutStopSec of {unit} is {timeout}, which does not exceed {setting} of {deadline:g} s."
        impact = "Each deployment kills running messages instead of letting them end."
        remedy = f"TimeoutStopSec={deadline + STOP_MARGIN_S:.0f} in {unit}"
        findings.append(trouble("units", "unit_timeout", text, impact=impact, remedy=remedy))
    return findings


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
    """Return the seconds of a timespan such as `2min 20s`. `infinity` and unknown units are infinite."""
    units = {"h": 3600.0, "min": 60.0, "s": 1.0, "ms": 0.001, "us": 1e-6}
    total = 0.0
    for word in text.split():
        number = word.rstrip("abcdefghijklmnopqrstuvwxyz")
        if not number or word[len(number) :] not in units:
            return float("inf")
        total += float(number) * units[word[len(number) :]]
    return total
