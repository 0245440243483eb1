"""The registration of a worker with RQ, so that RQ's tools show its birth, state, and death."""

import asyncio
from typing import Any

from rq.serializers import JSONSerializer
from rq.worker import BaseWorker

from msgctl.config.settings import Settings
from msgctl.domain.errors import RedisUnavailable
from msgctl.storage.redis.connections import connect_sync, describe_redis
from msgctl.storage.redis.faults import outages_translated
from msgctl.storage.redis.keys import FIELD_SLOTS, QUEUES, RQ_WORKER


class RegisteredWorker(BaseWorker):
    """RQ's worker class, used only for its registration. The scripts of msgctl claim and commit."""

    def _set_connection(self, connection: Any) -> Any:
        """Keep the short timeouts of the connection, which RQ would raise to 415 s."""
        return connection


class RqRegistration:
    """The entry of one worker among RQ's workers.

    RQ's registration is blocking code, so it runs in a thread with a connection of its own.

    Args:
        settings: `redis.*`.
        name: the worker's name, unique among live workers.
        slots: how many messages it processes concurrently, shown to operators.
    """

    def __init__(self, settings: Settings, name: str, slots: int = 1) -> None:
        self._address = describe_redis(settings)
        self._name = name
        self._slots = slots
        self._redis = connect_sync(settings)
        self._worker: RegisteredWorker | None = None

    async def register(self) -> None:
        """Register this worker's birth, also again after its entry expired.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        try:
            with outages_translated(self._address):
                await asyncio.to_thread(self._register)
        except RedisUnavailable:
            self._redis.connection_pool.disconnect()  # the next try resolves the address again
            raise

    async def deregister(self) -> None:
        """Register its death, if it was registered. A second call does nothing."""
        worker, self._worker = self._worker, None
        if worker is not None:
            with outages_translated(self._address):
                await asyncio.to_thread(worker.register_death)
        self._redis.close()

    def _register(self) -> None:
        worker = RegisteredWorker(list(QUEUES), name=self._name, connection=self._redis, serializer=JSONSerializer)
        self._redis.delete(RQ_WORKER + self._name)  # after an expiry a heartbeat may have left a partial entry
        worker.register_birth()  # type: ignore[no-untyped-call]  # RQ leaves it untyped
        worker.set_state("idle")
        self._redis.hset(RQ_WORKER + self._name, FIELD_SLOTS, self._slots)
        self._worker = worker
