"""A process that accepts one message through `Intake` and leaves: the client's door, to be killed in the middle.

python -m tools.support.accepting MESSAGE CONVERSATION AGENT
"""

import asyncio
import sys

from msgctl.agents.agents import Agents
from msgctl.config.settings import Settings
from msgctl.config.sources import load
from msgctl.intake.accept import AcceptReceipt, Intake, Submission
from msgctl.queue.queue import Queue
from msgctl.storage.redis.connections import connect


async def accept(settings: Settings, message_id: str, conversation_id: str, agent_id: str) -> AcceptReceipt:
    """Accept it as the gateway does."""
    async with connect(settings) as redis, Agents(settings) as agents:
        submission = Submission(
            agent_id=agent_id, message="hello", message_id=message_id, conversation_id=conversation_id
        )
        return await Intake(Queue(redis, settings), agents).accept(submission, "u")


if __name__ == "__main__":
    asyncio.run(accept(load(None).settings, *sys.argv[1:4]))
