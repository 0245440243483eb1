"""The man page msgctl(1), generated from the command tree: `python -m msgctl.cli.manual > docs/msgctl.1`."""

import sys
from collections.abc import Iterator
from typing import Any

from msgctl import __version__
from msgctl.cli.app import COMMAND_ENTRIES
from msgctl.cli.framework.lazy import load_command

PAGE_HEAD = """.TH MSGCTL 1 "" "msgctl {version}" "User Commands"
.SH NAME
msgctl \\- run and operate the asynchronous pipeline between chat customers and AI agents
.SH SYNOPSIS
.B msgctl
[\\fB\\-\\-config\\fR \\fIPATH\\fR] [\\fB\\-\\-debug\\fR] \\fICOMMAND\\fR [\\fIARGUMENTS\\fR]
.SH COMMANDS
"""
PAGE_TAIL = """.SH EXIT STATUS
0 ok, 1 bug, 2 usage, 3 not found, 4 partial or violated, 5 nothing matched, 6 refused or not confirmed,
69 unavailable, 75 try later, 78 configuration, 130 interrupted
.SH ENVIRONMENT
MSGCTL_CONFIG names the configuration file. MSGCTL_<SECTION>_<NAME> sets one setting. NO_COLOR is honored.
.SH FILES
\\&./config.toml, /etc/msgctl/config.toml
"""


def leaf_commands() -> Iterator[tuple[str, Any]]:
    """Yield each command that is not a group, with its full name after `msgctl`."""
    for name, entry in COMMAND_ENTRIES.items():
        yield from _walk_leaves(name, load_command(name, entry))


def render_man_page() -> str:
    """Return the page as roff."""
    return PAGE_HEAD.format(version=__version__) + "".join(_section(*leaf) for leaf in leaf_commands()) + PAGE_TAIL


def _walk_leaves(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    verbs = getattr(command, "commands", None)
    if verbs is None:
        yield name, command
    for verb, subcommand in (verbs or {}).items():
        yield from _walk_leaves(f"{name} {verb}", subcommand)


def _section(name: str, command: Any) -> str:
    lines = [f".SS {_escape(f'msgctl {name}')}", _escape(command.help or "")]
    for parameter in command.params:
        label = (
            ", ".join(parameter.opts)
            if parameter.param_type_name == "option"
            else parameter.metavar or parameter.name.upper()
        )
        lines += [".TP", f"\\fB{_escape(label)}\\fR", _escape(parameter.help or "")]
    if command.epilog:
        lines += [".PP", _escape(command.epilog)]
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    """Return a text as ASCII roff, with no line that roff reads as a request."""
    plain = text.replace("\\", "\\e").replace("-", "\\-")
    ascii_text = "".join(char if char.isascii() else f"\\[u{ord(char):04X}]" for char in plain)
    lines = (" ".join(line.split()) for line in ascii_text.splitlines())
    return "\n".join(f"\\&{line}" if line.startswith((".", "'")) else line for line in lines if line)


if __name__ == "__main__":
    sys.stdout.write(render_man_page())
