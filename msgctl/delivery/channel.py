"""What the failures of a channel mean for it: closed rates, a stop with an alarm, a breaker."""

from msgctl import logs
from msgctl.channels.send_limits import SendLimits
from msgctl.config.settings import Settings
from msgctl.errors import DeliveryFailed, FaultClass, ProviderRejected
from msgctl.messages import Channel
from msgctl.redisdb.client import RedisClient
from msgctl.redisdb.script import Script

FAULT = Script.beside(__file__, "record_failure")

log = logs.get(__name__)


class Channels:
    """Tells all processes of a failure.

    Args:
        redis: a client for short commands.
        settings: `breaker.*`, `callback.gone`.
    """

    def __init__(self, redis: RedisClient, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings

    async def fault(
        self, channel: Channel, failure: DeliveryFailed, gates: SendLimits, *, wait: float, breaks: bool
    ) -> None:
        """A try failed.

        Args:
            channel: which.
            failure: how.
            gates: of the response; `failure.closes` names one of their buckets.
            wait: seconds that bucket is closed.
            breaks: whether a failure of the provider itself counts against the whole channel.
        """
        bucket = gates.bucket(failure.closes) if failure.closes else None
        breaker = self._settings.breaker
        outcome = await FAULT(
            self._redis,
            channel,
            failure.code,
            failure.message,
            _what(failure, breaks=breaks),
            *((bucket.name, bucket.interval, bucket.burst) if bucket else ("", 0, 1)),
            int(wait * 1000),
            gates.url if failure.closes == "url" else "",
            int(self._settings.callback.gone * 1000),
            breaker.streak,
            int(breaker.pause * 1000),
            int(breaker.cap * 1000),
        )
        about = {"channel": channel, "code": failure.code, "error": failure.message}
        if outcome == "stopped":
            log.error("Channel stopped; mend it, then: msgctl channel resume", **about)
        elif outcome == "opened":
            log.error("Channel keeps failing; it is left alone for a while", **about)


def _what(failure: DeliveryFailed, *, breaks: bool) -> str:
    if failure.stops:
        return "stops"
    answered = isinstance(failure, ProviderRejected) and (failure.fault is FaultClass.FINAL or failure.closes)
    local = not isinstance(failure, ProviderRejected) and failure.fault is FaultClass.FINAL
    return "breaks" if breaks and not answered and not local else "answers"
