"""A worker that dies at once when it sees a certain text: `python -m chaos.poisoned_worker`. For tests alone."""

import os
from functools import partial
from typing import Any

from daemons._process import main
from daemons.worker import __main__ as worker
from daemons.worker import quarantine
from msgctl.agents import Agent
from msgctl.messages import Message, Reply
from msgctl.workflow import Workflow

POISON = "a text that kills"

call = Workflow.call


async def call_or_die(self: Workflow, agent: Agent, message: Message, payload: bytes) -> Reply:
    """Call n8n, unless the message is poison."""
    if message.message == POISON:
        os._exit(137)
    return await call(self, agent, message, payload)


if __name__ == "__main__":
    arguments: Any = worker.parse()
    Workflow.call = call_or_die  # type: ignore[method-assign]
    quarantine.PROGRAM = ("-m", "chaos.poisoned_worker", "--quarantine")
    main("worker", partial(worker.serve, quarantine=arguments.quarantine), arguments)
