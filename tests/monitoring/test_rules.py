"""The alerts: each fires when it should, on metrics that exist."""

import subprocess
from pathlib import Path

from tests.support.metrics import MONITORING, OWN_NAME, known_names


def test_the_rules_fire_when_they_should_and_only_then(promtool: str) -> None:
    """`promtool test rules`: each alert at its threshold, and none while all is well."""
    done = subprocess.run(
        [promtool, "test", "rules", "rules.test.yml"], cwd=MONITORING, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested() -> None:
    """No alert without a case in the tests of the rules."""
    alerts = [line.split()[-1] for line in _lines("rules.yml") if "- alert:" in line]
    assert alerts
    assert [name for name in alerts if name not in (MONITORING / "rules.test.yml").read_text("utf-8")] == []


def test_the_configuration_of_prometheus_is_one(promtool: str, tmp_path: Path) -> None:
    """`promtool check config` takes it."""
    copy = tmp_path / "prometheus.yml"
    copy.write_text(
        (MONITORING / "prometheus.yml").read_text("utf-8").replace("rules.yml", f"{MONITORING}/rules.yml")
    )
    done = subprocess.run([promtool, "check", "config", str(copy)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_asks_for_metrics_that_exist() -> None:
    """An alert on a name that nobody serves would stay silent for ever."""
    lines = [line for line in _lines("rules.yml") if not line.lstrip().startswith("#")]
    asked = {name for line in lines for name in OWN_NAME.findall(line)}
    assert asked
    assert asked <= known_names()


def test_every_alert_says_what_to_do() -> None:
    """A summary and an action each."""
    text = (MONITORING / "rules.yml").read_text("utf-8")
    assert text.count("- alert:") == text.count("action:") == text.count("summary:")


def _lines(name: str) -> list[str]:
    return (MONITORING / name).read_text("utf-8").splitlines()
