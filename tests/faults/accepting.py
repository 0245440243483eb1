"""A process that accepts one message through `Intake` and leaves: the client's door, to be killed in the middle.

python -m tests.faults.accepting MESSAGE CONVERSATION AGENT
"""

import asyncio
import sys

from msgctl import redisdb
from msgctl.agents import Agents
from msgctl.config import load
from msgctl.intake import Intake, Submission
from msgctl.rqueue import Queue


async def accept(message_id: str, conversation_id: str, agent_id: str) -> None:
    """Accept it and say so."""
    settings = load(None).settings
    async with redisdb.connect(settings) as redis, Agents(settings) as agents:
        submission = Submission(
            agent_id=agent_id, message="hello", message_id=message_id, conversation_id=conversation_id
        )
        receipt = await Intake(Queue(redis, settings), agents).accept(submission, "u")
        sys.stdout.write(receipt.message_id + "\n")


if __name__ == "__main__":
    asyncio.run(accept(*sys.argv[1:4]))
