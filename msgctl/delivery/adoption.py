"""Responses that another program publishes on `pubsub:response:*` enter the durable stream, once."""

import re
from typing import Any

import msgspec

from msgctl import contracts, logs
from msgctl.config.settings import Settings
from msgctl.messages import IDENTIFIER_PATTERN, Draft, Response
from msgctl.redisdb.client import RedisClient
from msgctl.redisdb.connection import dedicated
from msgctl.redisdb.script import Script

ADOPT = Script.beside(__file__, "import_response")

REMEMBERED = 86_400_000
"""Milliseconds within which a repeated publication is recognised."""
WAIT = 10.0
"""Seconds one look waits for a publication."""
STAMP = '"streamId":"'
TAIL = 64
"""Characters at the end of a publication of ours within which its `streamId` stands."""
IDENTIFIER = re.compile(IDENTIFIER_PATTERN)

log = logs.get(__name__)


class Adoption:
    """Listens to every response channel.

    Args:
        redis: a client for short commands.
        settings: where Redis is, `history`.
    """

    def __init__(self, redis: RedisClient, settings: Settings) -> None:
        self._redis = redis
        self._history = settings.history
        self._listening = dedicated(settings, blocking=WAIT)
        self._pubsub = self._listening.pubsub(ignore_subscribe_messages=True)
        self._subscribed = False

    async def close(self) -> None:
        """Stop listening."""
        await self._pubsub.aclose()
        await self._listening.aclose()

    async def listen(self) -> None:
        """Wait for one publication, and adopt it if it is foreign.

        Raises:
            RedisUnavailable: Redis does not answer; call again.
        """
        if not self._subscribed:
            await self._pubsub.psubscribe(contracts.RESPONSE_CHANNEL + "*")
            self._subscribed = True
        published = await self._pubsub.get_message(timeout=WAIT)
        if published is None or published["type"] != "pmessage":
            return
        data: str = published["data"]
        if STAMP in data[-TAIL:]:
            return  # ours: it is in the stream already
        await self.adopt(published["channel"].removeprefix(contracts.RESPONSE_CHANNEL), data)

    async def adopt(self, channel: str, data: str) -> bool:
        """Put a foreign response into the stream, if nobody else has; True if this call did.

        In a conversation that began here it is its owner's and gets the next number, so that it reaches the joined
        sockets and can be had again by `resume`.

        Args:
            channel: the end of the channel's name; it counts where the response names no channel.
            data: what was published.
        """
        try:
            response = _read(channel, data)
        except (msgspec.DecodeError, ValueError) as error:
            log.warning("A foreign response cannot be read; it is passed over", channel=channel, error=str(error))
            return False
        if response.stream_id is not None:
            return False
        conversation = response.conversation_id
        user = response.user_id
        if user is None:
            user = await self._redis.hget(contracts.CONVERSATION + conversation, "user")
        adopted = await ADOPT(
            self._redis,
            response.channel,
            response.message_id,
            _draft(response, user),
            REMEMBERED,
            conversation,
            user or "",
            self._history.replies,
            round(self._history.ttl * 1000),
        )
        if adopted:
            log.info("Foreign response adopted", messageId=response.message_id, channel=response.channel)
        return bool(adopted)


def _draft(response: Response, user: str | None) -> bytes:
    """The response as JSON without its closing brace, and without a number: those are ours alone to give."""
    names = (name for name in Draft.__struct_fields__ if name != "user_id")
    draft = Draft(user_id=user, **{name: getattr(response, name) for name in names})
    return draft.to_json().removesuffix(b"}")


def _read(channel: str, data: str) -> Response:
    document = msgspec.json.decode(data, type=dict[str, Any])
    document.setdefault("channel", channel)
    response = msgspec.convert(document, Response)
    if not IDENTIFIER.match(response.message_id) or not IDENTIFIER.match(response.conversation_id):
        raise ValueError("messageId and conversationId must match [A-Za-z0-9_-]{1,64}")
    return response
