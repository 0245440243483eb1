"""Status webhooks: an error that a provider reports afterwards means the same as in its answer to the send."""

from msgctl.channels.error_codes import Code, Meaning
from msgctl.channels.inbound import StatusUpdate
from msgctl.channels.send_limits import SendLimits
from msgctl.config.settings import Settings
from msgctl.delivery.channel_state import ChannelStateStore
from msgctl.delivery.error_help import advise, find_code
from msgctl.delivery.status_update import StatusResult, update_status
from msgctl.domain.errors import FaultClass, ProviderRejected
from msgctl.domain.messages import Channel
from msgctl.observability import logs
from msgctl.storage.redis.client import RedisClient

MAX_REPEATS_AFTER_FAILURE = 1
"""How often a part is sent again by itself because its provider could not deliver it for the moment."""

log = logs.get_logger(__name__)


class StatusProcessor:
    """Writes statuses into delivery records, and applies their errors to the channel.

    Args:
        redis: a client for short commands.
        settings: `delivery.attempts`, `retry.base`, `breaker.*`.
    """

    def __init__(self, redis: RedisClient, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings
        self._channel_states = ChannelStateStore(redis, settings)

    async def process(self, update: StatusUpdate) -> None:
        """Process one status.

        Raises:
            RedisUnavailable: Redis did not answer; the provider repeats it.
        """
        code = find_code(update.code) if update.status == "failed" else None
        repeat_after_s, max_repeats = self._plan_repeat(code)
        result = await update_status(
            self._redis,
            update.message_id,
            update.provider_id,
            update.status,
            code=update.code,
            text=advise(update.code),
            repeat_after_s=repeat_after_s,
            max_repeats=max_repeats,
        )
        if result is not None and result.is_news and result.channel and update.status == "failed":
            await self._apply_failure(update, result, code)

    def _plan_repeat(self, code: Code | None) -> tuple[float | None, int]:
        """Return after how many seconds a failed part may be sent again by itself, and how often."""
        if code is not None and code.meaning is Meaning.WAIT:
            return code.initial_pause_s, self._settings.delivery.attempts
        if code is not None and code.meaning is Meaning.RETRY:
            return self._settings.retry.base, MAX_REPEATS_AFTER_FAILURE
        return None, 0

    async def _apply_failure(self, update: StatusUpdate, result: StatusResult, code: Code | None) -> None:
        log.warning(
            "Provider reported that a part did not arrive",
            messageId=update.message_id,
            channel=result.channel,
            code=update.code,
            state=result.state,
        )
        meaning = code.meaning if code else Meaning.NEVER
        is_final = meaning not in {Meaning.WAIT, Meaning.RETRY}
        text = f"The provider reported error {update.code.rpartition('_')[2]}."
        failure = ProviderRejected(
            f"{text} {code.advice}" if code else text,
            fault=FaultClass.FINAL if is_final else FaultClass.TRANSIENT,
            code=update.code or "provider_failed",
            exceeded_limit=code.exceeded_limit if code and meaning is Meaning.WAIT else "",
            stops_channel=meaning is Meaning.STOP,
        )
        await self._channel_states.record_failure(
            Channel(result.channel),
            failure,
            SendLimits.from_json(result.limits),
            closed_for_s=code.initial_pause_s if code else 0,
            counts_against_channel=False,
            sent_at_ms=result.sent_at_ms,
        )
