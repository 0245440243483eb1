"""The alerts, the dashboard and the list of metrics agree."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from msgctl.metrics import REGISTRY, gauges
from tests.monitoring.conftest import MONITORING, OWN_NAME

assert gauges  # importing it registers the gauges of the whole pipeline

DASHBOARD: dict[str, Any] = json.loads((MONITORING / "grafana-dashboard.json").read_text("utf-8"))


def known_names() -> set[str]:
    """Every name that Prometheus may ask for."""
    suffixes = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}
    return {family.name + suffix for family in REGISTRY.collect() for suffix in suffixes[family.type]}


def queries() -> list[str]:
    """Every query of the dashboard."""
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


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


@pytest.mark.parametrize("text", [(MONITORING / "rules.yml").read_text("utf-8"), *queries()])
def test_every_query_names_metrics_that_exist(text: str) -> None:
    """An alert or a panel on a name that nobody serves would stay silent for ever."""
    asked = {
        name for line in text.splitlines() if not line.lstrip().startswith("#") for name in OWN_NAME.findall(line)
    }
    assert asked <= known_names() | {"process_cpu_seconds_total"}
    assert asked or "process_" in text


def test_every_metric_is_on_the_dashboard() -> None:
    """What is measured is shown."""
    shown = " ".join(queries())
    missing = [f.name for f in REGISTRY.collect() if f.name.startswith("msgctl_") and f.name not in shown]
    assert missing == []


def test_the_dashboard_is_what_grafana_loads() -> None:
    """Its fields have the types that Grafana's schema asks for, and no panel lies on another."""
    assert isinstance(DASHBOARD["title"], str)
    assert DASHBOARD["uid"] == "msgctl"
    assert DASHBOARD["schemaVersion"] >= 36
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        assert panel["type"] in {"timeseries", "stat"}
        assert panel["targets"]
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def _lines(name: str) -> list[str]:
    return (MONITORING / name).read_text("utf-8").splitlines()
