"""A metrics port for each daemon of this machine, and the list of them that a Prometheus reads."""

import json
from collections.abc import Iterable
from pathlib import Path

from msgctl.config.settings import Settings
from msgctl.local.supervisor import ports

TARGETS_FILE_NAME = "metrics-targets.json"
"""In the data folder: `file_sd_configs` of Prometheus."""


def assign_addresses(settings: Settings, names: Iterable[str]) -> dict[str, str]:
    """`host:port` for each daemon: upwards from `metrics.port`, or free ones where that is 0.

    Args:
        settings: `metrics.*`.
        names: of the daemons, e.g. `worker-1`.
    """
    host, first = settings.metrics.host, settings.metrics.port
    taken: set[int] = set()
    addresses = {}
    for index, name in enumerate(names):
        port = first + index if first else _free_port_besides(taken)
        taken.add(port)
        addresses[name] = f"{host}:{port}"
    return addresses


def write_targets(folder: Path, addresses: dict[str, str]) -> None:
    """Write the list anew."""
    targets = [
        {"targets": [address], "labels": {"daemon": name.rpartition("-")[0], "daemon_name": name}}
        for name, address in addresses.items()
    ]
    (folder / TARGETS_FILE_NAME).write_text(json.dumps(targets, indent=2) + "\n", "utf-8")


def _free_port_besides(taken: set[int]) -> int:
    port = ports.free_port()
    while port in taken:
        port = ports.free_port()
    return port
