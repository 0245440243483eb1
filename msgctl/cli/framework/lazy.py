"""Commands that are imported only when they are called, so that `msgctl --help` costs no Redis and no pydantic."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from msgctl.cli.framework.groups import VerbTyper


class CommandEntry(NamedTuple):
    """Where a top-level command is found."""

    module: str
    """The module in `msgctl.cli.commands`."""
    name: str
    """`app` for a noun with its verbs, `app.VERB` for one of them, else the function that is the command."""
    summary: str
    """Its line in `msgctl --help`."""
    example: str = ""
    """A line to copy, for the help of a function whose own text has none."""


class LazyGroup(TyperGroup):
    """A group whose commands stand in a table and are placeholders until one of them is called."""

    entries: dict[str, CommandEntry]

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {name: TyperCommand(name, help=entry.summary) for name, entry in self.entries.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Put the real command in its placeholder's place, then do as every group does."""
        if args[0] in self.entries:
            self.commands[args[0]] = load_command(args[0], self.entries[args[0]])
        return super().resolve_command(ctx, args)


@contextmanager
def _without_opentelemetry() -> Iterator[None]:
    """redis-py imports OpenTelemetry where it finds it, to measure itself with: 0.1 s for what is off here."""
    if "opentelemetry" in sys.modules:
        yield
        return
    sys.modules["opentelemetry"] = None  # type: ignore[assignment]  # the import system's word for: there is none
    try:
        yield
    finally:
        del sys.modules["opentelemetry"]


def load_command(name: str, entry: CommandEntry) -> Any:
    """Import the command that stands behind an entry."""
    with _without_opentelemetry():
        module = importlib.import_module(f"msgctl.cli.commands.{entry.module}")
    attribute, _, verb = entry.name.partition(".")
    found = getattr(module, attribute)
    if isinstance(found, typer.Typer):
        group = typer.main.get_group(found)
        return group.commands[verb] if verb else group
    alone = VerbTyper(add_completion=False, rich_markup_mode=None)
    alone.command(name, epilog=entry.example and f"Example: {entry.example}")(found)
    return typer.main.get_command(alone)
