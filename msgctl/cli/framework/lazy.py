"""Commands that are imported when they are called, so that `msgctl --help` loads neither Redis nor pydantic."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from msgctl.cli.framework.help import VerbTyper


class CommandEntry(NamedTuple):
    """Where a top-level command is defined."""

    module: str
    """The module in `msgctl.cli.commands`."""
    name: str
    """`app` for a noun with its verbs, `app.VERB` for one verb, or the function that is the command."""
    summary: str
    """Its line in `msgctl --help`."""
    example: str = ""
    """The example in the help of a function whose docstring has none."""


class LazyGroup(TyperGroup):
    """A group whose commands are placeholders until one is called."""

    entries: dict[str, CommandEntry]

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {name: TyperCommand(name, help=entry.summary) for name, entry in self.entries.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Replace the placeholder by the real command, then resolve as usual."""
        if args[0] in self.entries:
            self.commands[args[0]] = load_command(args[0], self.entries[args[0]])
        return super().resolve_command(ctx, args)


@contextmanager
def _without_opentelemetry() -> Iterator[None]:
    """Hide OpenTelemetry from redis-py, which otherwise imports it for 0.1 s."""
    if "opentelemetry" in sys.modules:
        yield
        return
    sys.modules["opentelemetry"] = None  # type: ignore[assignment]  # makes an import of it fail
    try:
        yield
    finally:
        del sys.modules["opentelemetry"]


def load_command(name: str, entry: CommandEntry) -> Any:
    """Import the command of an entry."""
    with _without_opentelemetry():
        module = importlib.import_module(f"msgctl.cli.commands.{entry.module}")
    attribute, _, verb = entry.name.partition(".")
    definition = getattr(module, attribute)
    if isinstance(definition, typer.Typer):
        group = typer.main.get_group(definition)
        return group.commands[verb] if verb else group
    app = VerbTyper(add_completion=False, rich_markup_mode=None)
    app.command(name, epilog=entry.example and f"Example: {entry.example}")(definition)
    return typer.main.get_command(app)
