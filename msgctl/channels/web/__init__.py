"""Channel `web`: the sockets that customers hold open at the gateways; `msgctl.delivery` routes to them."""

from msgctl.channels.base import ChannelSpec

CHANNEL = ChannelSpec(name="web", is_configured=lambda _: True, requires_grant=False)
