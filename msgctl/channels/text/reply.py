"""The parts of a response: its text, composed for a channel as the agent and `[reply]` say."""

from typing import get_args

from msgctl.channels.text.composer import Dialect, compose
from msgctl.channels.text.styled import TextPart
from msgctl.config.reply import ReplySettings
from msgctl.domain.messages import ReplyFormat, Response

_FORMATS: dict[str, ReplyFormat] = {name: name for name in get_args(ReplyFormat)}


def compose_reply(
    response: Response, dialect: Dialect, settings: ReplySettings, *, markup: str = ""
) -> list[TextPart]:
    """Return the messages that a response becomes on a channel.

    Args:
        response: the response. Its `format` wins over `reply.format`; one that is not known counts as absent.
        dialect: what the channel understands.
        settings: `reply.*`.
        markup: the mark-up that the response declares, a key of `composer.MARKUPS`.

    Raises:
        ReplyTooLong: it needs more parts than `reply.max_parts`, and `reply.overflow` is `refuse`.
    """
    named = response.format if isinstance(response.format, str) else ""
    return compose(
        response.response.message,
        dialect,
        format=_FORMATS.get(named, settings.format),
        markup=markup,
        max_parts=settings.max_parts,
        overflow=settings.overflow,
        closing=settings.closing,
    )
