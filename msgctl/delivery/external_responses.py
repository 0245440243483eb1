"""Responses that another program publishes on `pubsub:response:*` enter the durable stream, once."""

import re
from typing import Any

import msgspec

from msgctl.config.settings import Settings
from msgctl.domain.messages import IDENTIFIER_PATTERN, Response, UnnumberedResponse
from msgctl.observability import logs
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.connections import blocking_client
from msgctl.storage.redis.lua import Script

IMPORT_RESPONSE = Script.beside(__file__, "import_response")

IMPORT_DEDUP_TTL_MS = 86_400_000
"""Milliseconds within which a repeated publication is recognised."""
PUBSUB_TIMEOUT_S = 10.0
"""Seconds one look waits for a publication."""
STREAM_ID_MARKER = '"streamId":"'
MARKER_TAIL_CHARS = 64
"""Characters at the end of a publication of ours within which its `streamId` stands."""
IDENTIFIER_REGEX = re.compile(IDENTIFIER_PATTERN)

log = logs.get_logger(__name__)


class ExternalResponseImporter:
    """Listens to every response channel.

    Args:
        redis: a client for short commands.
        settings: where Redis is, `history`.
    """

    def __init__(self, redis: RedisClient, settings: Settings) -> None:
        self._redis = redis
        self._history_settings = settings.history
        self._pubsub_client = blocking_client(settings, max_block_s=PUBSUB_TIMEOUT_S)
        self._pubsub = self._pubsub_client.pubsub(ignore_subscribe_messages=True)
        self._subscribed = False

    async def close(self) -> None:
        """Stop listening."""
        await self._pubsub.aclose()
        await self._pubsub_client.aclose()

    async def import_next(self) -> None:
        """Wait for one publication, and adopt it if it is foreign.

        Raises:
            RedisUnavailable: Redis does not answer; call again.
        """
        if not self._subscribed:
            await self._pubsub.psubscribe(keys.RESPONSE_CHANNEL + "*")
            self._subscribed = True
        published = await self._pubsub.get_message(timeout=PUBSUB_TIMEOUT_S)
        if published is None or published["type"] != "pmessage":
            return
        data: str = published["data"]
        if STREAM_ID_MARKER in data[-MARKER_TAIL_CHARS:]:
            return  # ours: it is in the stream already
        await self.import_response(published["channel"].removeprefix(keys.RESPONSE_CHANNEL), data)

    async def import_response(self, channel: str, data: str) -> bool:
        """Put a foreign response into the stream, if nobody else has; True if this call did.

        In a conversation that began here it is its owner's and gets the next number, so that it reaches the joined
        sockets and can be had again by `resume`.

        Args:
            channel: the end of the channel's name; it counts where the response names no channel.
            data: what was published.
        """
        try:
            response = _decode_response(channel, data)
        except (msgspec.DecodeError, ValueError) as error:
            log.warning("A foreign response cannot be read; it is passed over", channel=channel, error=str(error))
            return False
        if response.stream_id is not None:
            return False
        conversation = response.conversation_id
        user = response.user_id
        if user is None:
            user = await self._redis.hget(keys.CONVERSATION + conversation, "user")
        adopted = await IMPORT_RESPONSE(
            self._redis,
            response.channel,
            response.message_id,
            _encode_unnumbered(response, user),
            IMPORT_DEDUP_TTL_MS,
            conversation,
            user or "",
            self._history_settings.replies,
            round(self._history_settings.ttl * 1000),
        )
        if adopted:
            log.info("Foreign response adopted", messageId=response.message_id, channel=response.channel)
        return bool(adopted)


def _encode_unnumbered(response: Response, user: str | None) -> bytes:
    """The response as JSON without its closing brace, and without a number: those are ours alone to give."""
    names = (name for name in UnnumberedResponse.__struct_fields__ if name != "user_id")
    draft = UnnumberedResponse(user_id=user, **{name: getattr(response, name) for name in names})
    return draft.to_json().removesuffix(b"}")


def _decode_response(channel: str, data: str) -> Response:
    document = msgspec.json.decode(data, type=dict[str, Any])
    document.setdefault("channel", channel)
    response = msgspec.convert(document, Response)
    if not IDENTIFIER_REGEX.match(response.message_id) or not IDENTIFIER_REGEX.match(response.conversation_id):
        raise ValueError("messageId and conversationId must match [A-Za-z0-9_-]{1,64}")
    return response
