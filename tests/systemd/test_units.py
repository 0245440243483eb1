"""The units, as systemd itself judges them: no mistake in them, and little that they may touch."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.paths import SYSTEMD

SERVICES = sorted(SYSTEMD.glob("*.service"))
THRESHOLD = 15
"""Tenths: an exposure of 1.5 is the most we allow ourselves."""

pytestmark = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed here"
)


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_a_service_is_exposed_to_little(unit: Path) -> None:
    """`systemd-analyze security` gives each service 1.5 or less."""
    found = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={THRESHOLD}", "--no-pager", unit],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize(
    "unit",
    sorted(p for p in SYSTEMD.glob("msgctl*.*") if p.suffix[1:] in {"service", "socket", "target", "timer"}),
    ids=str,
)
def test_systemd_finds_no_mistake_in_a_unit(unit: Path, tmp_path: Path) -> None:
    """`systemd-analyze verify` has nothing to say; an unknown key is only printed, so anything printed counts."""
    for one in SYSTEMD.glob("msgctl*.*"):
        text = (
            one.read_text("utf-8")
            .replace("/opt/msgctl/current/bin/", "/bin/")
            .replace("/bin/python ", "/bin/true ")
        )
        (tmp_path / one.name).write_text(text.replace("/bin/msgctl ", "/bin/true "), "utf-8")
    name = unit.name.replace("@.", "@1.")
    copy = tmp_path / unit.name
    if name != unit.name:
        copy = copy.rename(tmp_path / name)
    found = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, check=False)
    ours = [line for line in found.stderr.splitlines() if "msgctl" in line]
    assert not ours, found.stderr
    assert found.returncode == 0, found.stderr
