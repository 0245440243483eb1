"""`msgctl systemd`: what it would do on this machine, step by step, and nothing of it done."""

import asyncio
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from msgctl.config.sources import iter_settings
from tests.support.paths import ROOT

PLACES = [
    Path(place) for place in ("/opt/msgctl", "/etc/msgctl", "/usr/local/lib/systemd/system", "/usr/local/bin")
]


async def systemd(*arguments: str) -> tuple[int, str, str]:
    """`msgctl systemd …` as a person without rights runs it: exit code, output, error output."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "msgctl", "systemd", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), error.decode()


def what_is_there() -> list[tuple[str, float]]:
    """Everything that an installation would touch, with its time of change."""
    files = [file for place in PLACES if place.exists() for file in (place, *place.glob("msgctl*"))]
    return sorted((str(file), file.lstat().st_mtime) for file in files)


async def test_a_dry_installation_prints_each_step_and_takes_none() -> None:
    """User, virtual environment, configuration, units: each is named, in order, and the machine is as before."""
    before = what_is_there()
    code, out, _ = await systemd("install", "--dry-run")
    assert code == 0
    steps = [
        "-m venv /opt/msgctl/releases/",
        "pip install --require-hashes",
        "msgctl-worker@.service /usr/local/lib/systemd/system/",
        "msgctl-gateway.socket /usr/local/lib/systemd/system/",
        "systemd-sysusers",
        "systemd-tmpfiles --create",
        "ln -sfn releases/",
    ]
    places = [out.find(step) for step in steps]
    assert -1 not in places, out
    assert places[:2] == sorted(places[:2])
    assert places[-1] == max(places)
    assert what_is_there() == before


async def test_a_dry_removal_keeps_what_is_the_administrators() -> None:
    """Units and program go; configuration, secrets and user go with --purge alone."""
    before = what_is_there()
    code, out, _ = await systemd("uninstall", "--dry-run")
    assert code == 0
    assert "rm -rf /opt/msgctl" in out
    assert "rm -rf /etc/msgctl" not in out
    assert "kept: /etc/msgctl" in out
    code, out, _ = await systemd("uninstall", "--purge", "--dry-run")
    assert (code, "rm -rf /etc/msgctl" in out) == (0, True)
    assert what_is_there() == before


@pytest.mark.skipif(Path("/opt/msgctl").exists(), reason="msgctl is installed on this machine")
async def test_a_release_that_is_not_there_is_not_deployed() -> None:
    """Exit 3 and what to do first, before anything is touched."""
    code, _, error = await systemd("deploy", "--release", "no-such", "--dry-run")
    assert code == 3
    assert "install.sh" in error


@pytest.mark.skipif(os.geteuid() == 0, reason="root may install")
async def test_without_rights_nothing_is_begun() -> None:
    """An ordinary user is told to use sudo."""
    code, out, error = await systemd("install")
    assert (code, out) == (77, "")
    assert "sudo" in error


@pytest.mark.parametrize("script", sorted((ROOT / "systemd").glob("**/*.sh")), ids=lambda file: file.name)
@pytest.mark.skipif(shutil.which("dash") is None, reason="dash, the sh of Debian, is not installed here")
async def test_a_script_is_understood_by_the_shell_of_debian(script: Path) -> None:
    """No word of bash in what says #!/bin/sh."""
    process = await asyncio.create_subprocess_exec("dash", "-n", str(script), stderr=asyncio.subprocess.PIPE)
    _, error = await process.communicate()
    assert (process.returncode, error) == (0, b"")


@pytest.mark.parametrize("script", sorted((ROOT / "systemd").glob("**/*.sh")), ids=lambda file: file.name)
def test_a_script_sets_no_variable_that_msgctl_would_refuse(script: Path) -> None:
    """An unknown MSGCTL_… in its environment makes msgctl leave with 78, so scripts name their own otherwise."""
    known = {f"MSGCTL_{section}_{name}".upper() for section, name, _ in iter_settings()} | {"MSGCTL_CONFIG"}
    assert set(re.findall(r"MSGCTL_[A-Z_]+", script.read_text("utf-8"))) <= known
