"""Our worker as RQ's tools see it: born, alive, busy or idle, dead."""

import asyncio
from typing import Any

from rq.serializers import JSONSerializer
from rq.worker import BaseWorker

from msgctl.config.settings import Settings
from msgctl.storage.redis.client import outages_translated
from msgctl.storage.redis.connections import connect_sync, describe_redis
from msgctl.storage.redis.keys import FIELD_SLOTS, QUEUES, RQ_WORKER


class RegisteredWorker(BaseWorker):
    """RQ's worker class, used for its registration alone; claiming and committing are our scripts'."""

    def _set_connection(self, connection: Any) -> Any:
        """Leave our short timeouts as they are; RQ would raise them to 415 s."""
        return connection


class RqRegistration:
    """The entry of this worker among RQ's workers.

    RQ's registration is blocking code, so it runs in a thread, on a connection of its own.

    Args:
        settings: where Redis is.
        name: the worker's name, unique among all that live.
        slots: messages it works at once, for those who look.
    """

    def __init__(self, settings: Settings, name: str, slots: int = 1) -> None:
        self._address = describe_redis(settings)
        self._name = name
        self._slots = slots
        self._redis = connect_sync(settings)
        self._worker: RegisteredWorker | None = None

    async def register(self) -> None:
        """Register this worker's birth, or register it anew where Redis has forgotten it.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        with outages_translated(self._address):
            await asyncio.to_thread(self._register)

    async def deregister(self) -> None:
        """Register its death, if it was born; safe to call twice."""
        worker, self._worker = self._worker, None
        if worker is not None:
            with outages_translated(self._address):
                await asyncio.to_thread(worker.register_death)
        self._redis.close()

    def _register(self) -> None:
        worker = RegisteredWorker(list(QUEUES), name=self._name, connection=self._redis, serializer=JSONSerializer)
        self._redis.delete(RQ_WORKER + self._name)  # of an entry that expired only a heartbeat is left
        worker.register_birth()  # type: ignore[no-untyped-call]  # RQ leaves it untyped
        worker.set_state("idle")
        self._redis.hset(RQ_WORKER + self._name, FIELD_SLOTS, self._slots)
        self._worker = worker
