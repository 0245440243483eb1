"""Channels as arguments of commands; the set is open, so it is looked up when a name is given."""

import typer

from msgctl.domain.messages import Channel

CHOICES = f"<{'|'.join(Channel)}>"
"""What help shows: the channels that msgctl ships. Extensions may add others."""


def parse_channel(text: str) -> Channel:
    """Return the channel of this name.

    Raises:
        typer.BadParameter: there is none.
    """
    try:
        return Channel(text)
    except ValueError:
        from msgctl.channels.names import channel_names  # noqa: PLC0415 - only a wrong name needs all of them

        names = ", ".join(repr(str(name)) for name in channel_names())
        raise typer.BadParameter(f"{text!r} is not one of {names}.") from None
