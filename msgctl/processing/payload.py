"""The JSON body of a call of n8n: the message, its agent, and the history of its conversation. Pure."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from msgspec import UNSET, UnsetType

from msgctl.domain.messages import Channel, Customer, Message, Quoted, Turn, WireStruct

if TYPE_CHECKING:
    from msgctl.agents.agents import Agent  # it imports psycopg, which takes 0.1 s

CHAT_ACTION = "sendMessage"
"""The `action` with which n8n's own chat sends a message. A Chat Trigger node expects it."""


class PayloadAgent(WireStruct, frozen=True):
    """The agent, as its workflow sees it."""

    id: str
    name: str
    system_prompt: str


class PayloadMessage(WireStruct, frozen=True):
    """One message of the turn."""

    message_id: str
    text: str
    timestamp: str


class Payload(WireStruct, kw_only=True, frozen=True):
    """The body of a call. A field without a value is absent.

    `sessionId`, `chatInput`, and `action` repeat values under the names of n8n's Chat Trigger, so that its
    workflows and their memory need no mapping.
    """

    message_id: str
    conversation_id: str
    session_id: str
    user_id: str
    agent: PayloadAgent
    message: str
    chat_input: str
    action: str = CHAT_ACTION
    history: Sequence[Turn]
    messages: list[PayloadMessage]
    """The messages of the turn, oldest first."""
    channel: Channel
    channel_metadata: dict[str, Any]
    timestamp: str
    attempt: int
    customer: Customer | UnsetType = UNSET
    quoted: Quoted | UnsetType = UNSET


def prepare_payload(agent: "Agent", message: Message, history: Sequence[Turn], *, attempt: int = 1) -> bytes:
    """Return the body of a call as JSON.

    Args:
        agent: the agent that is asked.
        message: the message to answer.
        history: the earlier turns of its conversation, oldest first.
        attempt: the number of this attempt at the message, from 1.
    """
    return Payload(
        message_id=message.message_id,
        conversation_id=message.conversation_id,
        session_id=message.conversation_id,
        user_id=message.user_id,
        agent=PayloadAgent(agent.id, agent.name, agent.system_prompt),
        message=message.message,
        chat_input=message.message,
        history=history,
        messages=[PayloadMessage(message.message_id, message.message, message.timestamp)],
        channel=message.channel,
        channel_metadata=message.channel_metadata,
        timestamp=message.timestamp,
        attempt=attempt,
        customer=message.customer,
        quoted=message.quoted,
    ).to_json()
