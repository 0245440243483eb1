"""Import of responses that other programs publish on `pubsub:response:*` into the durable stream, once each."""

import re

import msgspec

from msgctl.config.settings import Settings
from msgctl.domain.foreign_json import decode_foreign_json
from msgctl.domain.messages import IDENTIFIER_PATTERN, Response, UnnumberedResponse
from msgctl.domain.visible_text import repair_text
from msgctl.observability import logs
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.connections import blocking_client
from msgctl.storage.redis.lua import Script

IMPORT_RESPONSE = Script.beside(__file__, "import_response")

IMPORT_DEDUP_TTL_MS = 86_400_000
"""Milliseconds within which a repeated publication is recognized."""
PUBSUB_TIMEOUT_S = 10.0
"""Seconds that one read waits for a publication."""
STREAM_ID_MARKER = '"streamId":"'
MARKER_TAIL_CHARS = 64
"""Characters at the end of a publication by msgctl that contain its `streamId`."""
IDENTIFIER_REGEX = re.compile(IDENTIFIER_PATTERN)

log = logs.get_logger(__name__)


class ExternalResponseImporter:
    """Subscribes to every response channel.

    Args:
        redis: a client for short commands.
        settings: the address of Redis, `history.*`.
    """

    def __init__(self, redis: RedisClient, settings: Settings) -> None:
        self._redis = redis
        self._history_settings = settings.history
        self._pubsub_client = blocking_client(settings, max_block_s=PUBSUB_TIMEOUT_S)
        self._pubsub = self._pubsub_client.pubsub(ignore_subscribe_messages=True)
        self._subscribed = False

    async def close(self) -> None:
        """Unsubscribe and close the connection."""
        await self._pubsub.aclose()
        await self._pubsub_client.aclose()

    async def import_next(self) -> None:
        """Wait for one publication, and import it if another program published it.

        Raises:
            RedisUnavailable: Redis did not answer; call again.
        """
        if not self._subscribed:
            await self._pubsub.psubscribe(keys.RESPONSE_CHANNEL + "*")
            self._subscribed = True
        published = await self._pubsub.get_message(timeout=PUBSUB_TIMEOUT_S)
        if published is None or published["type"] != "pmessage":
            return
        data: str = published["data"]
        if STREAM_ID_MARKER in data[-MARKER_TAIL_CHARS:]:
            return  # msgctl published it: it is in the stream already
        await self.import_response(published["channel"].removeprefix(keys.RESPONSE_CHANNEL), data)

    async def import_response(self, channel: str, data: str) -> bool:
        """Put an external response into the stream, unless another subscriber has done so.

        In a conversation that msgctl knows, a response of its owner gets the next sequence number, so that it
        reaches the joined sockets and `resume` returns it.

        Args:
            channel: the last part of the Pub/Sub channel; used if the response names no channel.
            data: the published JSON.

        Returns:
            Whether this call imported it.
        """
        try:
            response = _decode_response(channel, data)
        except (msgspec.DecodeError, ValueError) as error:
            log.warning("External response cannot be read; it is skipped", channel=channel, error=str(error))
            return False
        if response.stream_id is not None:
            return False
        conversation_id = response.conversation_id
        user_id = response.user_id
        if user_id is None:
            user_id = await self._redis.hget(keys.CONVERSATION + conversation_id, "user")
        imported = await IMPORT_RESPONSE(
            self._redis,
            response.channel,
            response.message_id,
            _encode_unnumbered(response, user_id),
            IMPORT_DEDUP_TTL_MS,
            conversation_id,
            user_id or "",
            self._history_settings.replies,
            round(self._history_settings.ttl * 1000),
        )
        if imported:
            log.info("External response imported", messageId=response.message_id, channel=response.channel)
        return bool(imported)


def _encode_unnumbered(response: Response, user_id: str | None) -> bytes:
    """Return the response as JSON without its closing brace and without a number: only msgctl gives numbers."""
    names = (name for name in UnnumberedResponse.__struct_fields__ if name != "user_id")
    draft = UnnumberedResponse(user_id=user_id, **{name: getattr(response, name) for name in names})
    return draft.to_json().removesuffix(b"}")


def _decode_response(channel: str, data: str) -> Response:
    document = decode_foreign_json(data.encode("utf-8", "surrogatepass"))
    if not isinstance(document, dict):
        raise ValueError("a response must be a JSON object")  # noqa: TRY004 - reported as any other fault of the data
    document.setdefault("channel", channel)
    if not isinstance(document.get("format"), str):  # a field of the other program's own
        document.pop("format", None)
    response = msgspec.convert(document, Response)
    text = repair_text(response.response.message)
    response = msgspec.structs.replace(response, response=msgspec.structs.replace(response.response, message=text))
    if not IDENTIFIER_REGEX.match(response.message_id) or not IDENTIFIER_REGEX.match(response.conversation_id):
        raise ValueError("messageId and conversationId must match [A-Za-z0-9_-]{1,64}")
    return response
