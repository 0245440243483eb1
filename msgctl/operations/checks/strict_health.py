"""What a strict look at the pipeline's health minds, beyond what makes it unhealthy for everybody."""

import time

from msgctl.domain.plural import pluralize
from msgctl.operations.checks.health import Reason
from msgctl.operations.context import Context
from msgctl.storage.redis import keys


class StrictHealthCheck:
    """Looks for them.

    Args:
        context: the pipeline it works on.
    """

    def __init__(self, context: Context) -> None:
        self._redis = context.redis
        self._queue = context.queue

    async def find_reasons(self) -> list[Reason]:
        """Each with the command that shows or mends it.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        reasons = []
        if paused := await self._queue.list_paused():
            text = f"Nobody claims from {', '.join(paused)}. Go on: msgctl queue resume"
            reasons.append(Reason(code="paused", message=text))
        breakers: dict[str, str] = await self._redis.hgetall(keys.BREAKERS)
        parked = await self._redis.hlen(keys.PARKED)
        quarantined = await self._redis.llen(keys.RQ_QUEUE + keys.QUARANTINE)
        for workflow, fields in sorted(breakers.items()):
            if int(fields.partition(" ")[0]) / 1000 > time.time():
                text = f"The workflow {workflow} keeps failing and is not called. See: msgctl dlq groups"
                reasons.append(Reason(code="breaker_open", message=text))
        if parked:
            text = f"{pluralize(parked, 'message')} cannot be worked: damaged records. See: msgctl verify"
            reasons.append(Reason(code="parked", message=text))
        if quarantined:
            text = f"{pluralize(quarantined, 'message')} may have killed workers, and each runs alone."
            reasons.append(Reason(code="quarantined", message=text))
        return reasons
