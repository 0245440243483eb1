"""Metrics as a daemon exports them, and the files in `monitoring/` that name them."""

import json
import re
from typing import Any

import aiohttp

from msgctl.config.settings import Settings
from msgctl.observability.metrics import definitions, pipeline_gauges
from msgctl.observability.metrics.registry import REGISTRY
from tests.support.paths import ROOT
from tests.support.secret_scan import SEARCH

MONITORING = ROOT / "monitoring"

SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(\{[^}]*\})? (\S+)$", re.MULTILINE)

OWN_NAME = re.compile(r"\bmsgctl_[a-z0-9_]+")

DASHBOARD: dict[str, Any] = json.loads((MONITORING / "grafana-dashboard.json").read_text("utf-8"))

assert definitions  # importing them registers what a process counts
assert pipeline_gauges  # and the gauges of the whole pipeline


def known_names() -> set[str]:
    """Every name that Prometheus may ask for."""
    suffixes = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}
    return {family.name + suffix for family in REGISTRY.collect() for suffix in suffixes[family.type]}


def queries() -> list[str]:
    """Every query of the dashboard."""
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


async def scrape(settings: Settings) -> str:
    """What a daemon with these settings tells Prometheus."""
    url = f"http://{settings.metrics.host}:{settings.metrics.port}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.status == 200
        text = await answer.text()
    SEARCH.hear("the metrics", text)
    return text


def value(text: str, name: str, labels: str = "") -> float | None:
    """The value of a sample; None if there is none."""
    found = [
        float(number) for sample, braces, number in SAMPLE.findall(text) if (sample, braces) == (name, labels)
    ]
    return found[0] if found else None
