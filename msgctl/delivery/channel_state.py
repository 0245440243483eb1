"""The effect of failures on a channel: a closed rate, a stop with an alarm, or an open circuit breaker."""

from msgctl.channels.send_limits import Bucket, SendLimits
from msgctl.config.settings import Settings
from msgctl.domain.errors import DeliveryFailed, FaultClass, ProviderRejected
from msgctl.domain.messages import Channel
from msgctl.observability import logs
from msgctl.observability.metrics import definitions as metrics
from msgctl.storage.redis.client import RedisClient
from msgctl.storage.redis.lua import Script

RECORD_FAILURE = Script.beside(__file__, "record_failure")

log = logs.get_logger(__name__)


class ChannelStateStore:
    """Records failures where all processes see them.

    Args:
        redis: a client for short commands.
        settings: `breaker.*`, `callback.gone`.
    """

    def __init__(self, redis: RedisClient, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings

    async def record_failure(
        self,
        channel: Channel,
        failure: DeliveryFailed,
        limits: SendLimits,
        *,
        closed_for_s: float,
        counts_against_channel: bool,
        sent_at_ms: int = 0,
    ) -> None:
        """Record a failed attempt.

        Args:
            channel: the channel that failed.
            failure: the failure.
            limits: the send limits of the response; `failure.exceeded_limit` names one of their buckets.
            closed_for_s: seconds for which that bucket is closed.
            counts_against_channel: whether a failure of the receiver counts against the whole channel.
            sent_at_ms: Unix milliseconds of the send, if a status reported it later; 0: now. A send before
                the last `msgctl channel resume` does not stop the channel again.
        """
        bucket = limits.bucket(failure.exceeded_limit) if failure.exceeded_limit else None
        wider = limits.bucket(failure.wider_limit) if failure.wider_limit else None
        breaker = self._settings.breaker
        outcome = await RECORD_FAILURE(
            self._redis,
            channel,
            failure.code,
            failure.message,
            _classify_failure(failure, counts_against_channel=counts_against_channel),
            *_bucket_arguments(bucket),
            int(closed_for_s * 1000),
            limits.url if failure.exceeded_limit == "url" else "",
            int(self._settings.callback.gone * 1000),
            breaker.streak,
            int(breaker.pause * 1000),
            int(breaker.cap * 1000),
            *_bucket_arguments(wider),
            sent_at_ms,
        )
        metrics.PROVIDER_ERRORS.labels(channel, failure.code).inc()
        log_fields = {"channel": channel, "code": failure.code, "error": failure.message}
        if outcome == "stopped":
            log.error("Channel stopped; fix its cause, then run: msgctl channel resume", **log_fields)
        elif outcome == "opened":
            log.error("Channel keeps failing; its deliveries pause for a while", **log_fields)


def _bucket_arguments(bucket: Bucket | None) -> tuple[str, float, int]:
    return (bucket.name, bucket.interval, bucket.burst) if bucket else ("", 0, 1)


def _classify_failure(failure: DeliveryFailed, *, counts_against_channel: bool) -> str:
    """Return `stops`, `breaks` (counts for the circuit breaker), or `answers` (the provider works)."""
    if failure.stops_channel:
        return "stops"
    answered = isinstance(failure, ProviderRejected) and (
        failure.fault is FaultClass.FINAL or failure.exceeded_limit
    )
    local = not isinstance(failure, ProviderRejected) and failure.fault is FaultClass.FINAL
    return "breaks" if counts_against_channel and not answered and not local else "answers"
