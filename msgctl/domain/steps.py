"""The six steps in which a worker processes a message, as data. `pipeline` performs them."""

from typing import NamedTuple


class Step(NamedTuple):
    """One step of the pipeline."""

    progress: int
    """The progress in percent that the step reports when it begins."""
    name: str
    """The name in the ledger, logs, and metrics."""
    event: str
    """The log event at its beginning."""
    label: str
    """The text for people."""


FIND_AGENT = Step(10, "agent", "Finding the agent", "find the agent")
READ_HISTORY = Step(20, "history", "Reading the history", "read the history")
PREPARE_PAYLOAD = Step(30, "payload", "Preparing the payload", "prepare the payload")
CALL_WORKFLOW = Step(50, "n8n", "Calling n8n", "call the workflow")
PUBLISH_RESPONSE = Step(80, "publish", "Publishing the response", "publish the response")
DONE = Step(100, "done", "Message completed", "done")

STEPS = (FIND_AGENT, READ_HISTORY, PREPARE_PAYLOAD, CALL_WORKFLOW, PUBLISH_RESPONSE, DONE)
"""All six steps in their order."""
