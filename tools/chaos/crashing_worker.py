"""A worker that dies at once when it sees a certain text: `python -m tools.chaos.crashing_worker`."""

import os
from functools import partial

from daemons.runtime.lifecycle import main
from daemons.worker import __main__ as worker
from daemons.worker import quarantine
from msgctl.processing.pipeline import Pipeline
from msgctl.queue.leases import LeasedMessage

POISON = "a text that kills"

process = Pipeline.process


async def process_or_die(self: Pipeline, leased: LeasedMessage) -> None:
    """Work a message, unless it is poison."""
    if leased.message.message == POISON:
        os._exit(137)
    await process(self, leased)


if __name__ == "__main__":
    arguments = worker.parse_arguments()
    Pipeline.process = process_or_die  # type: ignore[method-assign]
    quarantine.CHILD_ARGUMENTS = ("-m", "tools.chaos.crashing_worker", "--quarantine")
    main("worker", partial(worker.serve, quarantine=arguments.quarantine), arguments)
