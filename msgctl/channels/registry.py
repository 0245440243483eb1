"""All channels: those that msgctl ships, one line each, and those that extensions add."""

from msgctl.channels import callback, telegram, web, whatsapp
from msgctl.channels.base import ChannelSpec
from msgctl.channels.names import channel_names
from msgctl.channels.webhook import PREFIX
from msgctl.domain.extensions import CHANNELS

BUILT_IN = (
    web.CHANNEL,
    whatsapp.CHANNEL,
    telegram.CHANNEL,
    callback.CHANNEL,
)
_BY_NAME = {spec.name: spec for spec in BUILT_IN}


def register(spec: ChannelSpec) -> None:
    """Add a channel to this process.

    Raises:
        ValueError: its name is invalid or taken, or a webhook has another path than `/webhooks/…`.
    """
    if spec.name in _BY_NAME:
        raise ValueError(f"The channel {spec.name!r} ships with msgctl. Choose another name.")
    for webhook in spec.webhooks:
        if not webhook.path.startswith(PREFIX):
            raise ValueError(f"The webhook {webhook.path!r} of {spec.name!r} must begin with {PREFIX}.")
    CHANNELS.add(spec.name, spec)


def unregister(name: str) -> None:
    """Remove a channel that `register` added."""
    CHANNELS.remove(name)


def all_channels() -> tuple[ChannelSpec, ...]:
    """Return all channels.

    Raises:
        ConfigurationError: an extension cannot be loaded.
    """
    return tuple(find_channel(name) for name in channel_names())


def find_channel(name: str) -> ChannelSpec:
    """Return one channel.

    Raises:
        KeyError: there is none of this name.
        ConfigurationError: it is an extension that cannot be loaded.
    """
    if name in _BY_NAME:
        return _BY_NAME[name]
    spec: ChannelSpec = CHANNELS.load(name)
    return spec
