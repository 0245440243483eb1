"""RQ's own tools read while workers run, and change nothing."""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self

from redis import Redis as SyncRedis
from rq import Queue as RqQueue
from rq import Worker as RqWorker
from rq.cli.helpers import show_both
from rq.exceptions import NoSuchJobError
from rq.job import Job as RqJob
from rq.serializers import JSONSerializer

from msgctl.agents.agents import Agents
from msgctl.config.settings import Settings
from msgctl.intake.accept import Intake, Submission
from msgctl.local.fakes.n8n import FakeN8n, N8nBehavior
from msgctl.operations.checks.invariants.verify import InvariantVerification
from msgctl.operations.context import Context
from msgctl.queue.queue import Queue
from msgctl.storage.redis import keys
from tools.support.daemons import Daemon, until

MESSAGES, CONVERSATIONS, READERS = 400, 40, 10


def read_registries(redis: Any) -> None:
    """Read counts and ids of all registries, each of which makes RQ clean up first."""
    for name in (*keys.QUEUES, keys.QUARANTINE):
        queue = RqQueue(name, connection=redis, serializer=JSONSerializer)
        for registry in (
            queue.started_job_registry,
            queue.finished_job_registry,
            queue.failed_job_registry,
            queue.scheduled_job_registry,
            queue.deferred_job_registry,
            queue.canceled_job_registry,
        ):
            assert registry.count >= 0
            registry.get_job_ids()


def read_jobs(redis: Any) -> None:
    """Read all queues and their jobs, as a dashboard lists them."""
    for queue in RqQueue.all(connection=redis, serializer=JSONSerializer):
        assert queue.count >= 0
        assert queue.get_jobs(0, 50) is not None
        for message_id in queue.job_ids[:10]:
            with suppress(NoSuchJobError):
                job = RqJob.fetch(message_id, connection=redis, serializer=JSONSerializer)
                job.get_status(), job.get_position(), job.description


def read_workers(redis: Any) -> None:
    """Read all workers and their jobs."""
    for worker in RqWorker.all(connection=redis):
        worker.get_state()
        worker.refresh()  # type: ignore[no-untyped-call]  # RQ leaves it untyped
        for execution in worker.get_current_executions():
            assert execution.job_id
    assert RqWorker.count(connection=redis) >= 0


def read_as_rq_info(redis: Any) -> None:
    """Print what `rq info` prints."""
    queues = RqQueue.all(connection=redis, serializer=JSONSerializer)
    show_both(queues, True, False, RqQueue, RqWorker, redis)


READINGS = (read_registries, read_jobs, read_workers, read_as_rq_info)


class Readers:
    """Threads that read in a loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings.redis
        self._stop = threading.Event()
        self.faults: list[BaseException] = []
        self.rounds = 0

    def __enter__(self) -> Self:
        readings = [READINGS[number % len(READINGS)] for number in range(READERS)]
        self._threads = [threading.Thread(target=self._read, args=(reading,)) for reading in readings]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _read(self, reading: Callable[[Any], None]) -> None:
        redis, password = self._settings, self._settings.password.get_secret_value()
        with SyncRedis(host=redis.host, port=redis.port, db=redis.database, password=password) as client:
            while not self._stop.wait(0.01):
                try:
                    reading(client)
                except BaseException as fault:  # noqa: BLE001 - told to the test, in its own thread
                    self.faults.append(fault)
                self.rounds += 1


async def test_ten_readers_change_nothing(settings: Settings, redis: Any, n8n: FakeN8n) -> None:
    """While ten of RQ's readers read in a loop, each message runs once and none is lost."""
    n8n.reset(N8nBehavior(delay=30, fail_once=0.1))
    patience = settings.retry.model_copy(update={"base": 0.1})
    worker = settings.worker.model_copy(update={"concurrency": 20})
    settings = settings.model_copy(update={"worker": worker, "retry": patience})
    queue = Queue(redis, settings)
    ids = [f"m{number}" for number in range(MESSAGES)]
    async with Agents(settings) as agents:
        agent = await agents.add(user_id="u", name="Ana", webhook_path="chat")
        for number, message_id in enumerate(ids):
            conversation = f"c{number % CONVERSATIONS}"
            submission = Submission(
                agent_id=agent.id,
                message="hello",
                message_id=message_id,
                conversation_id=conversation,
                priority=number % 10 + 1,
            )
            await Intake(queue, agents).accept(submission, "u")
    with Readers(settings) as readers:
        async with Daemon("worker", settings), Daemon("worker", settings):

            async def over() -> bool:
                return (await queue.stats()).completed == MESSAGES

            await until(over, "all messages to be answered")
    assert readers.faults == []
    assert readers.rounds > READERS
    jobs = [job for job in await queue.find_many(ids) if job is not None]
    runs = {job.message.message_id: job.runs for job in jobs}
    assert runs == {message_id: n8n.calls_by_message[message_id] for message_id in ids}
    assert [job.message.message_id for job in jobs if job.runs != 1 + len(job.failed_runs)] == []
    assert (await InvariantVerification(Context(settings, redis)).run()).violations == []
