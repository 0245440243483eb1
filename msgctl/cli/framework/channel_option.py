"""Channels as arguments of commands. Extensions add channels, so a name is looked up when it is given."""

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from msgctl.domain.messages import Channel

CHOICES = "<channel>"
"""The placeholder for the choices. Help replaces it by `list_choices`, which takes 30 ms."""


def list_choices() -> str:
    """Return the text that help shows: all channels, with those that extensions add."""
    from msgctl.channels.names import channel_names  # noqa: PLC0415 - only help needs all of them

    return f"<{'|'.join(channel_names())}>"


def parse_channel(text: str) -> "Channel":
    """Return the channel of a name.

    Raises:
        typer.BadParameter: no channel has this name.
    """
    from msgctl.domain.messages import Channel  # noqa: PLC0415 - `msgctl --help` must not import msgspec

    try:
        return Channel(text)
    except ValueError:
        from msgctl.channels.names import channel_names  # noqa: PLC0415 - only a wrong name needs all of them

        names = ", ".join(repr(str(name)) for name in channel_names())
        raise typer.BadParameter(f"{text!r} is not one of {names}.") from None
