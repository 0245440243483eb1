"""The settings of replies on their way to phones."""

from typing import Literal

from pydantic import Field

from msgctl.config.base import Section
from msgctl.domain.messages import ReplyFormat


class ReplySettings(Section):
    """The text of replies on WhatsApp, Telegram, and added channels. Clients of web and API get it as it is."""

    format: ReplyFormat = "auto"
    """What happens to the Markdown that agents write. `auto` renders it as the channel shows it, `plain` removes
    the marks, and `as-is` sends the text unchanged. An agent's own setting `format` wins."""
    max_parts: int = Field(10, ge=1, le=100)
    """Messages that one reply may become at most. A message holds 4096 characters on Telegram and WhatsApp, 1600
    through Twilio."""
    overflow: Literal["cut", "refuse"] = "cut"
    """What happens to a longer reply. `cut` sends its beginning with `closing` behind it. `refuse` sends nothing,
    and the delivery fails with `reply_too_long`. On a socket it applies above `gateway.max_reply_frame`."""
    closing: str = Field("[…]", max_length=200)
    """The word behind a reply that was cut. Empty: none."""
