"""`msgctl systemd`: run the installation scripts in `systemd/`."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from msgctl.cli.framework.help import make_noun_group
from msgctl.domain.errors import NotFound

app = make_noun_group("Install, deploy, and uninstall the systemd units.")

PrintStepsOption = Annotated[bool, typer.Option("--dry-run", help="Print each step, and do nothing.")]


@app.command(epilog="Example: sudo msgctl systemd install --dry-run")
def install(
    *,
    wheels: Annotated[
        Path | None, typer.Option(help="Folder with all packages, to install without a package index.")
    ] = None,
    dry_run: PrintStepsOption = False,
) -> None:
    """Install on Debian or Ubuntu, or update an installation. The configuration is kept."""
    _execute("install.sh", *(["--wheels", str(wheels)] if wheels else []), dry_run=dry_run)


@app.command(epilog="Example: sudo msgctl systemd deploy --release 0.1.0-1a2b3c4d")
def deploy(
    release: Annotated[str, typer.Option(metavar="NAME", help="A release in /opt/msgctl/releases.")] = "",
    *,
    names: Annotated[bool, typer.Option("--list", help="List the releases, with the current one marked.")] = False,
    dry_run: PrintStepsOption = False,
) -> None:
    """Switch to a release, daemon by daemon. If a daemon fails, all return to the release before."""
    if names:
        _execute("deploy.sh", "--list", dry_run=False)
    elif not release:
        raise typer.BadParameter("Give a release. --list prints them.", param_hint="--release")
    else:
        _execute("deploy.sh", "--release", release, dry_run=dry_run)


@app.command(epilog="Example: sudo msgctl systemd uninstall --dry-run")
def uninstall(
    *,
    purge: Annotated[
        bool, typer.Option("--purge", help="Also remove the configuration, secrets, logs, and the user.")
    ] = False,
    dry_run: PrintStepsOption = False,
) -> None:
    """Stop and remove the daemons. The configuration, logs, and the user are kept without `--purge`."""
    _execute("install.sh", "--uninstall", *(["--purge"] if purge else []), dry_run=dry_run)


def _execute(script: str, *arguments: str, dry_run: bool) -> None:
    """Replace this process by the script."""
    checkout, installed = Path(__file__).parents[3] / "systemd", Path(sys.prefix, "share", "msgctl", "systemd")
    for folder in (checkout, Path("/usr/share/msgctl/systemd"), installed):
        if (folder / script).is_file():
            command = ["sh", str(folder / script), *arguments, *(["--dry-run"] if dry_run else [])]
            os.execvp("sh", command)  # noqa: S606, S607 - our own script, run by the sh in PATH
    raise NotFound(f"This installation has no systemd/{script}. Run it from a checkout: sudo systemd/{script}")
