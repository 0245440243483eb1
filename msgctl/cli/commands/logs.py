"""`msgctl logs`: log lines of the daemons, from the log file or else from the systemd journal."""

import shutil
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from msgctl.cli.framework.completion import complete_ids
from msgctl.cli.framework.context import global_options_of
from msgctl.cli.framework.options import FollowOption
from msgctl.cli.framework.output import print_note, print_text, printable
from msgctl.domain.errors import NotFound, NothingMatched

UNIT_GLOB = "msgctl-*"
ERROR_MARKS = ('"level": "error"', '"level":"error"', '"level": "critical"', "[error", "ERROR", "Traceback")
LOG_POLL_INTERVAL_S = 0.3


def logs(
    context: typer.Context,
    *,
    message: Annotated[
        str | None, typer.Option(metavar="ID", help="Only lines about this message.", autocompletion=complete_ids)
    ] = None,
    errors: Annotated[bool, typer.Option("--errors", help="Only errors.")] = False,
    follow: FollowOption = False,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="Maximum number of lines.")] = 100,
    directory: Annotated[
        Path | None, typer.Option(help="Folder of combined.log. Default: [logs] directory, else var/logs.")
    ] = None,
) -> None:
    """Print the newest log lines of the daemons, oldest first.

    Example: msgctl logs --message 0b9e7c2e-6a51-4f0e-9b51-8f4f0f6f7a10
    """
    folder = directory or Path(global_options_of(context).load().logs.directory or "var/logs")
    file = folder / "combined.log"
    has_file = file.is_file()
    journal = None if directory or has_file else shutil.which("journalctl")
    if not has_file and not journal:
        raise NotFound(
            f"There is no systemd journal and no {file}. Name the folder: --directory, [logs] directory"
        )

    def is_wanted(line: str) -> bool:
        return (message is None or message in line) and (not errors or any(mark in line for mark in ERROR_MARKS))

    print_note(f"from {file if has_file else 'the journal'}")
    if journal and follow:
        _print_lines(filter(is_wanted, _read_journal(journal, follow=True)))
        return
    newest = deque(
        filter(is_wanted, _read_journal(journal, follow=False) if journal else _read_file(file)), maxlen=limit
    )
    if not newest and not follow:
        raise NothingMatched("No line matches.")
    _print_lines(newest)
    if follow:
        _print_lines(filter(is_wanted, _follow(file)))


def _print_lines(lines: Iterable[str]) -> None:
    for line in lines:
        print_text(printable(line.rstrip("\n"), keep="\t"))


def _read_file(file: Path) -> Iterator[str]:
    with file.open(encoding="utf-8", errors="replace") as stream:
        yield from stream


def _follow(file: Path) -> Iterator[str]:
    """Yield lines that are appended. After a rotation, open the new file."""
    with file.open(encoding="utf-8", errors="replace") as stream:
        stream.seek(0, 2)
        inode = file.stat().st_ino
        while True:
            line = stream.readline()
            if line:
                yield line
            elif file.exists() and file.stat().st_ino != inode:
                break
            else:
                time.sleep(LOG_POLL_INTERVAL_S)
    yield from _follow(file)


def _read_journal(program: str, *, follow: bool) -> Iterator[str]:
    command = [program, "--unit", UNIT_GLOB, "--output", "cat", "--no-pager", "--lines", "10000"]
    with subprocess.Popen(  # noqa: S603 - systemd's own program with fixed arguments
        [*command, *(["--follow"] if follow else [])], stdout=subprocess.PIPE, text=True, stderr=sys.stderr
    ) as process:
        yield from process.stdout or ()
