"""The frame of a noun's file."""

from collections.abc import Callable
from typing import Any

import typer

from msgctl.cli.framework.help import NounGroup, VerbCommand


class VerbTyper(typer.Typer):
    """A `typer.Typer` whose commands show their help as `_help` has it."""

    def command(self, name: str | None = None, **words: Any) -> Callable[[Any], Any]:
        """Take a function as the command of this name."""
        return super().command(name, **{"cls": VerbCommand, **words})


def make_noun_group(summary: str) -> typer.Typer:
    """A noun without its verbs; called without one, it shows its help.

    Args:
        summary: what the noun is about, the first line of its help.
    """
    return VerbTyper(cls=NounGroup, help=summary, no_args_is_help=True, rich_markup_mode=None)
