"""The Grafana dashboard: it is what Grafana's own types say, and shows all that is measured."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from msgctl.observability.metrics.registry import REGISTRY
from tests.support.grafana import strays
from tests.support.metrics import DASHBOARD, OWN_NAME, known_names, queries


def test_it_is_what_grafana_loads() -> None:
    """Not one value of another type, not one field that Grafana would drop."""
    assert strays(DASHBOARD) == []


def _break(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    broken = copy.deepcopy(DASHBOARD)
    change(broken)
    return broken


@pytest.mark.parametrize(
    "broken",
    [
        _break(lambda it: it.update(title=5)),
        _break(lambda it: it.update(schemaVersion="39")),
        _break(lambda it: it.update(titel="msgctl")),
        _break(lambda it: it.update(panels={})),
        _break(lambda it: it["panels"][0].update(gridpos={})),
        _break(lambda it: it["panels"][0]["gridPos"].update(w="8")),
        _break(lambda it: it["panels"][0].update(type=3)),
        _break(lambda it: it["panels"][0]["options"].update(colour="red")),
        _break(lambda it: it["panels"][0]["targets"][0].update(exprs="up")),
        _break(lambda it: it["panels"][0]["targets"][0].update(expr=1)),
        _break(lambda it: it["panels"][0]["datasource"].update(type="promtheus")),
        _break(lambda it: it["panels"][0]["fieldConfig"]["defaults"].update(unit=True)),
        _break(lambda it: it["templating"]["list"][0].update(type="datasorce")),
    ],
)
def test_a_broken_one_is_found(broken: dict[str, Any]) -> None:
    """A wrong type or a misspelt name, on any floor of the document, is told."""
    assert strays(broken)


def test_each_panel_has_a_place_and_a_number_of_its_own() -> None:
    """No panel lies on another or beyond the 24 columns, and each has something to show."""
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        assert panel["targets"]
        place = panel["gridPos"]
        columns = range(place["x"], place["x"] + place["w"])
        cells = {(x, y) for x in columns for y in range(place["y"], place["y"] + place["h"])}
        assert columns[-1] < 24
        assert not cells & taken
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


@pytest.mark.parametrize("query", queries())
def test_every_query_names_metrics_that_exist(query: str) -> None:
    """A panel on a name that nobody serves would stay empty for ever."""
    asked = set(OWN_NAME.findall(query))
    assert asked <= known_names()
    assert asked or "process_" in query


def test_every_metric_is_on_the_dashboard() -> None:
    """What is measured is shown."""
    shown = " ".join(queries())
    missing = [f.name for f in REGISTRY.collect() if f.name.startswith("msgctl_") and f.name not in shown]
    assert missing == []
