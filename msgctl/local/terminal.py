"""What a person at a terminal sees of `msgctl up`: prefixed lines of the daemons, and where everything is."""

import os
import re
import shlex
import sys
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.table import Table

from msgctl.local.supervisor.local_pipeline import RunningPipeline
from msgctl.observability.logs import redact_text

COLOR_BY_DAEMON_KIND = {"worker": 36, "subscriber": 35, "gateway": 34, "n8n": 33}
"""ANSI colours by kind of daemon."""
PREFIX_WIDTH = len("subscriber-1")
REDUNDANT_TEXT_PATTERN = re.compile(r"^\d{4}-\d\d-\d\d (?=\d\d:)| (?:conversationId|daemon)=\S+")
"""In a line of text, what a person at the terminal knows or has no use for."""


class PrefixedWriter:
    """Writes each line of a daemon behind its name, without what is plain there: day, daemon, conversation.

    Args:
        stream: where to; None is standard error, since standard output is for data.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._is_colored = self._stream.isatty() and "NO_COLOR" not in os.environ

    def __call__(self, name: str, line: str) -> None:
        """Write one line; a reader who has gone away is no reason to stop."""
        prefix = f"{name:<{PREFIX_WIDTH}} |"
        if self._is_colored:
            prefix = f"\033[{COLOR_BY_DAEMON_KIND.get(name.partition('-')[0], 37)}m{prefix}\033[0m"
        try:
            self._stream.write(f"{prefix} {redact_text(REDUNDANT_TEXT_PATTERN.sub('', line))}\n")
            self._stream.flush()
        except (BrokenPipeError, ValueError):
            self._stream = Path(os.devnull).open("w")  # noqa: SIM115 - for as long as we live


def print_summary(running: RunningPipeline, program: str) -> None:
    """Say on standard output where everything is, and how to send a first message.

    Args:
        running: what runs.
        program: how the person calls msgctl.
    """
    console = Console(highlight=False, soft_wrap=True)
    places = Table.grid(padding=(0, 2))
    for name, place in (
        ("gateway", running.gateway),
        ("API", f"{running.gateway}/docs"),
        ("n8n", running.n8n),
        ("config", running.config),
        *((f"{name} metrics", f"http://{address}/metrics") for name, address in running.metrics.items()),
    ):
        places.add_row(f"[dim]{name}[/]", place)
    console.print("\n[bold green]msgctl is up.[/] Ctrl-C stops it.\n")
    console.print(places)
    console.print("\n[dim]A first message, from another shell:[/]\n")
    console.print(first_message_commands(running, program), markup=False)


def first_message_commands(running: RunningPipeline, program: str) -> str:
    """Shell lines that make an agent and a token and send a message; they work as they are pasted."""
    msgctl = f"{program} --config {shlex.quote(running.config)}"
    return (
        f"AGENT=$({msgctl} agent add --user me --name Echo --webhook echo)\n"
        f"TOKEN=$({msgctl} token issue --user me)\n"
        f"{curl_command(running.gateway, '$TOKEN', '$AGENT')}\n"
    )


def curl_command(gateway: str, token: str, agent: str) -> str:
    """A line for the shell that sends a message over REST."""
    return (
        f'curl -s {gateway}/api/messages -H "Authorization: Bearer {token}" '
        f"""-H 'Content-Type: application/json' -d "{{\\"agentId\\":\\"{agent}\\",\\"message\\":\\"Hello\\"}}\""""
    )


def program_name() -> str:
    """How msgctl is called from here: by its name if that leads to this one, otherwise by its path."""
    called = Path(sys.argv[0])
    if any(Path(folder, "msgctl") == called.absolute() for folder in os.get_exec_path()):
        return "msgctl"
    here = Path.cwd()
    path = called.absolute()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))
