"""The names of all channels, for callers that need no more: nothing of any channel is imported."""

from msgctl.domain.extensions import CHANNELS
from msgctl.domain.messages import Channel


def channel_names() -> tuple[Channel, ...]:
    """Return the names of all channels, those that msgctl ships first; loads no extension."""
    return (*Channel, *map(Channel, CHANNELS.names()))
