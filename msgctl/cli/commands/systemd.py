"""`msgctl systemd`: the installation on a server, a thin door to the scripts in `systemd/`."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from msgctl.cli.framework.groups import make_noun_group
from msgctl.domain.errors import NotFound

app = make_noun_group("This server: install, deploy, uninstall the systemd units.")

PrintStepsOption = Annotated[bool, typer.Option("--dry-run", help="Print every step, take none.")]


@app.command(epilog="Example: sudo msgctl systemd install --dry-run")
def install(
    *,
    wheels: Annotated[
        Path | None, typer.Option(help="Take every package from this folder; no package index is asked.")
    ] = None,
    dry_run: PrintStepsOption = False,
) -> None:
    """Install on Debian or Ubuntu, or bring an installation up to date; configuration is kept."""
    _execute("install.sh", *(["--wheels", str(wheels)] if wheels else []), dry_run=dry_run)


@app.command(epilog="Example: sudo msgctl systemd deploy --release 0.1.0-1a2b3c4d")
def deploy(
    release: Annotated[
        str, typer.Option(metavar="NAME", help="One of /opt/msgctl/releases, also an older one.")
    ] = "",
    *,
    names: Annotated[bool, typer.Option("--list", help="Print the releases, the current one marked.")] = False,
    dry_run: PrintStepsOption = False,
) -> None:
    """Put a release to work, daemon by daemon; if one does not work, everything goes back to the one before."""
    if names:
        _execute("deploy.sh", "--list", dry_run=False)
    elif not release:
        raise typer.BadParameter("Which release? --list prints them.", param_hint="--release")
    else:
        _execute("deploy.sh", "--release", release, dry_run=dry_run)


@app.command(epilog="Example: sudo msgctl systemd uninstall --dry-run")
def uninstall(
    *,
    purge: Annotated[bool, typer.Option("--purge", help="Configuration, secrets, logs and the user too.")] = False,
    dry_run: PrintStepsOption = False,
) -> None:
    """Stop the daemons and remove them; configuration, logs and the user stay unless told otherwise."""
    _execute("install.sh", "--uninstall", *(["--purge"] if purge else []), dry_run=dry_run)


def _execute(script: str, *arguments: str, dry_run: bool) -> None:
    """Become the script: same terminal, its exit code is ours."""
    checkout, installed = Path(__file__).parents[3] / "systemd", Path(sys.prefix, "share", "msgctl", "systemd")
    for folder in (checkout, Path("/usr/share/msgctl/systemd"), installed):
        if (folder / script).is_file():
            words = ["sh", str(folder / script), *arguments, *(["--dry-run"] if dry_run else [])]
            os.execvp("sh", words)  # noqa: S606, S607 - the script of this very installation; sh stands in PATH
    raise NotFound(
        f"There is no systemd/{script} beside this msgctl. Run it from a checkout: sudo systemd/{script}"
    )
