"""The frame of a noun's file."""

import typer


def noun(summary: str) -> typer.Typer:
    """A noun without its verbs; called without one, it shows its help.

    Args:
        summary: what the noun is about, the first line of its help.
    """
    return typer.Typer(help=summary, no_args_is_help=True, rich_markup_mode=None)
