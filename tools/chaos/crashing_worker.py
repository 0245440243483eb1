"""A worker that dies at once when it sees a certain text: `python -m tools.chaos.crashing_worker`."""

import os
from functools import partial

from daemons._process import main
from daemons.worker import __main__ as worker
from daemons.worker import quarantine
from msgctl.pipeline import Pipeline
from msgctl.rqueue.claims import Claimed

POISON = "a text that kills"

work = Pipeline.work


async def work_or_die(self: Pipeline, claimed: Claimed) -> None:
    """Work a message, unless it is poison."""
    if claimed.message.message == POISON:
        os._exit(137)
    await work(self, claimed)


if __name__ == "__main__":
    arguments = worker.parse()
    Pipeline.work = work_or_die  # type: ignore[method-assign]
    quarantine.PROGRAM = ("-m", "tools.chaos.crashing_worker", "--quarantine")
    main("worker", partial(worker.serve, quarantine=arguments.quarantine), arguments)
