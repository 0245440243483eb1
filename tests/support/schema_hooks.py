"""What schemathesis cannot know: an agent that exists, configured channels, and how this API reads JSON."""

import os
import re
from typing import Any

import schemathesis

AGENT = "AGENT_OF_THE_TEST"
"""The variable that names the agent."""
CHANNELS_WITH_CREDENTIALS = frozenset({"whatsapp", "telegram", "api"})
UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@schemathesis.hook
def map_body(_context: Any, body: Any) -> Any:
    """Write to the agent that exists, by the one channel that needs no credentials and no address.

    `2.0` is an integer to JSON Schema, and none to this API.
    """
    if isinstance(body, dict):
        if body.get("channel") in CHANNELS_WITH_CREDENTIALS:
            body["channel"] = "web"
        agent_id, priority = body.get("agentId"), body.get("priority")
        if isinstance(agent_id, str) and UUID.fullmatch(agent_id):
            body["agentId"] = os.environ[AGENT]
        if isinstance(priority, float) and priority.is_integer():
            body["priority"] = int(priority)
    return body
