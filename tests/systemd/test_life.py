"""How systemd starts, watches and stops the daemons, beside what the daemons do and are configured to do."""

import re
from pathlib import Path

import pytest

from daemons.gateway.server import server
from daemons.subscriber.loop import SEND_DRAIN_MARGIN_S
from msgctl.config.settings import Settings
from msgctl.operations.checks.doctor.unit_checks import check_unit
from tests.support.paths import SYSTEMD

DAEMONS = sorted(SYSTEMD.glob("msgctl-*@.service"))


def directives(unit: Path) -> dict[str, str]:
    """Its last word on each directive."""
    return dict(re.findall(r"^(\w+)=(.*)$", unit.read_text("utf-8"), re.MULTILINE))


def seconds(unit: Path, name: str) -> float:
    """A time of a unit that is written in seconds."""
    return float(directives(unit)[name])


@pytest.mark.parametrize("unit", DAEMONS, ids=lambda unit: unit.name)
def test_a_daemon_is_brought_back_and_told_apart_from_one_that_cannot_work(unit: Path) -> None:
    """READY=1 is waited for, progress is watched, a dead one is started again, exit 78 is not."""
    said = directives(unit)
    assert (said["Type"], said["Restart"], said["RestartPreventExitStatus"]) == ("notify", "always", "78")
    assert 0 < seconds(unit, "WatchdogSec") <= 60
    assert {"MemoryMax", "TasksMax", "LimitNOFILE", "LoadCredential"} <= said.keys()


@pytest.mark.parametrize("unit", DAEMONS, ids=lambda unit: unit.name)
def test_an_outage_of_redis_does_not_use_the_starts_up(unit: Path) -> None:
    """So many starts as are allowed, each of which waits for Redis in vain, take longer than systemd counts."""
    waits = float(directives(unit)["ExecStart"].split("--wait ")[1])
    assert waits < seconds(unit, "TimeoutStartSec")
    allowed = seconds(unit, "StartLimitBurst") * (waits + seconds(unit, "RestartSec"))
    assert allowed > seconds(unit, "StartLimitIntervalSec")


def test_a_stop_leaves_each_daemon_the_time_to_drain() -> None:
    """SIGTERM goes to the daemon alone, and nothing is killed before the daemon's own deadline is over."""
    settings = Settings()
    deadlines = {
        "worker": settings.worker.drain,
        "subscriber": settings.delivery.timeout + SEND_DRAIN_MARGIN_S,
        "gateway": server.ACCEPT_GRACE_S + server.SHUTDOWN_TIMEOUT_S,
    }
    assert {f"msgctl-{daemon}@.service" for daemon in deadlines} == {unit.name for unit in DAEMONS}
    for daemon, deadline in deadlines.items():
        unit = SYSTEMD / f"msgctl-{daemon}@.service"
        assert directives(unit)["KillMode"] == "mixed"
        assert seconds(unit, "TimeoutStopSec") >= deadline + 10


def test_the_doctor_sees_a_stop_that_would_kill_what_runs() -> None:
    """A drain longer than the unit allows, and a stop that reaches the children, are named with the cure."""
    facts = {"LoadState": "loaded", "KillMode": "mixed", "TimeoutStopUSec": "2min 30s"}
    known = {"setting": "[worker] drain", "deadline": 130.0}
    assert check_unit("u.service", facts, **known) == []  # type: ignore[arg-type]
    (late,) = check_unit("u.service", facts, setting="[worker] drain", deadline=150)
    assert (late.code, late.remedy) == ("unit_timeout", "TimeoutStopSec=160 in u.service")
    (all_at_once,) = check_unit(
        "u.service",
        facts | {"KillMode": "control-group", "TimeoutStopUSec": "infinity"},
        **known,  # type: ignore[arg-type]
    )
    assert all_at_once.code == "unit_kill_mode"
