"""Whether the canary stops at this very daemon: alive is not yet working, and only work feeds the watchdog.

A canary that is late proves that some hop is dead and does not say which. Starving every daemon for it would have
systemd kill the healthy ones, again and again, for a missing subscriber, an n8n that is down or a queue that
somebody has paused; and each kill costs what runs there a crash. So a daemon answers for its own hop alone: it is
at fault when the canary lies where it alone, or any of its kind, would have to move it, and it had room, and for
the whole of its patience it has moved nothing at all, neither the canary nor anything else. The patience begins
when this process first sees it so: a new process is given all of it, and so is one whose Redis comes back.

The canary enters behind the gateway, so gateways answer for their own connection to Redis alone.
"""

import time
from collections.abc import Collection

from daemons.runtime.liveness import LivenessTracker
from msgctl.canary.location import CanaryLocation, CanaryStage, locate_canary
from msgctl.config.settings import Settings
from msgctl.storage.redis.client import RedisClient

WORKER_STAGES = frozenset({CanaryStage.QUEUED, CanaryStage.RUNNING})
SUBSCRIBER_STAGES = frozenset({CanaryStage.UNREAD, CanaryStage.UNSETTLED})


class StageCheck:
    """Watches the canary at one daemon.

    Args:
        settings: `canary.*`, and how long n8n may take.
        redis: the daemon's own client.
        liveness: tells whether the daemon takes what comes, and when it last moved something.
        name: this daemon's, as it holds things.
        stages: those its kind has to end, WORKER or SUBSCRIBER.
        loop: the loop of `pace` that takes.
    """

    def __init__(
        self,
        settings: Settings,
        redis: RedisClient,
        liveness: LivenessTracker,
        *,
        name: str,
        stages: Collection[CanaryStage],
        loop: str,
    ) -> None:
        self._settings = settings
        self._redis = redis
        self._liveness = liveness
        self._name = name
        self._stages = stages
        self._loop = loop
        self._last_seen: tuple[CanaryStage, str] | None = None
        self._stalled_since = 0.0

    async def find_fault(self, grace_s: float) -> str:
        """What this daemon is to be blamed for; empty: nothing.

        Args:
            grace_s: seconds in which it need not move anything.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        if not self._settings.canary.interval:
            return ""
        where = await locate_canary(self._redis)
        seen = (where.stage, where.message_id) if self._is_mine(where) else None
        now = time.monotonic()
        if seen != self._last_seen or seen is None:
            self._last_seen, self._stalled_since = seen, now
            return ""
        self._stalled_since = max(self._stalled_since, self._liveness.progressed_at)
        stuck = now - self._stalled_since > self._allowed_stall_s(where, grace_s)
        return f"{where.sentence}, and nothing moves here" if stuck else ""

    def _is_mine(self, where: CanaryLocation) -> bool:
        if where.stage not in self._stages:
            return False
        return where.holder == self._name if where.holder else not self._liveness.is_idle(self._loop)

    def _allowed_stall_s(self, where: CanaryLocation, grace_s: float) -> float:
        """A canary that goes through n8n may be there for as long as any message."""
        through_n8n = where.stage is CanaryStage.RUNNING and self._settings.canary.agent
        return grace_s + (self._settings.n8n.timeout if through_n8n else 0)
