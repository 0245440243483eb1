"""Daemons that serve metrics, and Prometheus's own tool to judge them by."""

import shutil
from collections.abc import Callable

import pytest

from msgctl.config.settings import Settings
from msgctl.local.supervisor import ports


@pytest.fixture
def promtool() -> str:
    """Prometheus's tool."""
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed (Debian: apt install prometheus)")
    return found


@pytest.fixture
def with_metrics(settings: Settings) -> Callable[[], Settings]:
    """Settings with another free metrics port at each call."""

    def give() -> Settings:
        metrics = settings.metrics.model_copy(update={"port": ports.free_port()})
        return settings.model_copy(update={"metrics": metrics})

    return give
