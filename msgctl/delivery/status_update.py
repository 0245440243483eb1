"""What a provider reports about a part after it was sent."""

import msgspec

from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.lua import Script

UPDATE_STATUS = Script.beside(__file__, "status_update")


class StatusResult(msgspec.Struct, frozen=True):
    """What a status of a provider has changed."""

    is_news: bool
    """Whether it is not repeated or outdated."""
    state: str = ""
    channel: str = ""
    sent_at_ms: int = 0
    """Unix milliseconds of the last send."""
    limits: str = "[]"
    """The send limits of the delivery, as `SendLimits.to_json` wrote them."""


async def update_status(
    redis: RedisClient,
    message_id: str,
    provider_id: str,
    status: str,
    *,
    code: str = "",
    text: str = "",
    repeat_after_s: float | None = None,
    max_repeats: int = 0,
) -> StatusResult | None:
    """Record a status that a provider reported; statuses may come twice, late, and in any order.

    Args:
        redis: a client for short commands.
        message_id: the id of the message in msgctl.
        provider_id: the provider's id of the part.
        status: `sent`, `delivered`, `read` or `failed`.
        code: the error code of `failed`.
        text: the explanation of the code.
        repeat_after_s: seconds after which the part may be sent again by itself, four times longer each time; or
            None for never.
        max_repeats: how often.

    Returns:
        What it has changed; None if there is no such delivery.
    """
    repeat_after_ms = -1 if repeat_after_s is None else int(repeat_after_s * 1000)
    result = await UPDATE_STATUS(redis, message_id, provider_id, status, code, text, repeat_after_ms, max_repeats)
    return StatusResult(bool(result[0]), *result[1:]) if result else None
