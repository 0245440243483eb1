"""Sending messages from the command line, and waiting for their replies."""

import asyncio
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec

from msgctl.cli._many import agent_called, owner_of, paced
from msgctl.cli._output import (
    RecordShape,
    Shape,
    print_json,
    print_listing,
    print_record,
    print_text,
    printable,
)
from msgctl.cli._session import Session
from msgctl.errors import Incomplete, TryLater
from msgctl.intake import Submission, parse_submission
from msgctl.messages import Channel, State
from msgctl.operations.replies import OVER

if TYPE_CHECKING:
    from msgctl.cli._door import Door

AT_ONCE = 50
"""Messages sent at the same time."""
SCHEMA = "msgctl.receipt/1"
COLUMNS = {"messageId": "id", "conversationId": "conversation"}
COLUMNS_WAITED = {"messageId": "id", "state": "state", "reply": "reply"}


@dataclass(frozen=True)
class Order:
    """What is to be sent."""

    text: str
    agent_id: str
    """Or its name, if only one has it."""
    user_id: str | None
    """None: the agent's owner."""
    conversation_id: str | None
    """None: a new one for each message."""
    channel: Channel
    metadata: dict[str, Any]
    priority: int
    message_ids: list[str]
    """One for each message."""
    patience: float | None
    """Seconds to wait for each reply; None does not wait."""
    submissions: list[Submission] | None = None
    """Messages ready to send, in place of `text` and what belongs to it."""
    rate: float | None = None
    """Messages a second at most."""
    via_api: bool = False
    """Through the gateway instead of into Redis."""


async def send_all(session: Session, order: Order) -> list[dict[str, Any]]:
    """Send every message of an order.

    Returns:
        One record a message: `{messageId, conversationId, jobId, repeated}`, and where the reply was waited for
        also its status and `response`.

    Raises:
        NotFound: there is no such agent.
        InvalidInput: the gateway would refuse it too.
    """
    if order.submissions is None:
        order = replace(order, agent_id=await agent_called(session, order.agent_id, order.user_id))
    submissions = order.submissions or [_submission(order, message_id) for message_id in order.message_ids]
    users = {
        agent_id: await _sender(session, order, agent_id)
        for agent_id in {submission.agent_id for submission in submissions}
    }
    slots, door = asyncio.Semaphore(AT_ONCE), _open_door(session) if order.via_api else None

    async def send(submission: Submission) -> dict[str, Any]:
        user_id = users[submission.agent_id]
        async with slots:
            if door:
                return await door.send(submission, user_id)
            receipt = await session.intake.accept(submission, user_id)
        return {
            "messageId": receipt.message_id,
            "conversationId": receipt.conversation_id,
            "jobId": receipt.message_id,
            "repeated": receipt.repeated,
        }

    if order.rate is None:
        sent = await _together(map(send, submissions))
    else:
        sent = [await send(submission) async for submission in paced(submissions, order.rate)]
    return sent if order.patience is None else await _await_replies(session, sent, order.patience)


async def _sender(session: Session, order: Order, agent_id: str) -> str:
    """Whose message it is; a client of the gateway that says so itself needs no PostgreSQL."""
    if order.via_api and order.user_id:
        return order.user_id
    return await owner_of(session, agent_id, order.user_id)


def print_outcomes(outcomes: list[dict[str, Any]], shape: Shape, *, waited: bool) -> None:
    """Print what became of an order; one message is a record, several are a listing.

    Raises:
        TryLater: a reply that was waited for has not come.
        Incomplete: a message that was waited for failed.
    """
    if len(outcomes) > 1 or shape in {Shape.IDS, Shape.JSONL}:
        records = [{**outcome, "reply": _reply(outcome)} for outcome in outcomes] if waited else outcomes
        columns = COLUMNS_WAITED if waited else COLUMNS
        print_listing(records, shape, schema=SCHEMA, columns=columns, key="messageId")
    elif shape is Shape.JSON:
        print_json({"schema": SCHEMA, **outcomes[0]})
    elif not waited:
        print_record(outcomes[0], RecordShape.TABLE, schema=SCHEMA)
    elif (reply := _reply(outcomes[0])) is not None:
        print_text(printable(reply, keep="\n"))
    if waited:
        _judge(outcomes)


def _open_door(session: Session) -> "Door":
    from msgctl.cli._door import Door  # noqa: PLC0415 - requests takes 0.1 s, and only `--via-api` needs it

    return Door(session.settings)


async def _together(sendings: Iterable[Coroutine[Any, Any, dict[str, Any]]]) -> list[dict[str, Any]]:
    """The results in the order asked for; the first fault stops those not sent yet and is raised as it is."""
    tasks = [asyncio.ensure_future(sending) for sending in sendings]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


async def _await_replies(session: Session, sent: list[dict[str, Any]], patience: float) -> list[dict[str, Any]]:
    deadline = asyncio.get_running_loop().time() + patience
    async with session.operations.replies.watch() as watch:
        return [
            record | await watch.outcome(record["conversationId"], record["messageId"], deadline=deadline)
            for record in sent
        ]


def _submission(order: Order, message_id: str) -> Submission:
    """The same way in as an HTTP body takes, so that nothing passes here which the gateway would refuse."""
    body = {
        "agentId": order.agent_id,
        "message": order.text,
        "conversationId": order.conversation_id,
        "channel": order.channel,
        "channelMetadata": order.metadata,
        "priority": order.priority,
        "messageId": message_id,
    }
    return parse_submission(msgspec.json.encode(body))


def _reply(outcome: dict[str, Any]) -> str | None:
    response: dict[str, str] = outcome.get("response", {})
    return response.get("message")


def _judge(outcomes: list[dict[str, Any]]) -> None:
    late = [outcome["messageId"] for outcome in outcomes if outcome["state"] not in OVER]
    failed = [outcome for outcome in outcomes if outcome["state"] == State.FAILED]
    if late:
        raise TryLater(f"{len(late)} of {len(outcomes)} not answered in time. See: msgctl status {late[0]}")
    if failed:
        error = failed[0].get("error", {})
        raise Incomplete(
            f"{len(failed)} of {len(outcomes)} failed: {error.get('code')}: {str(error.get('text')).rstrip('.')}. "
            f"See: msgctl status {failed[0]['messageId']}"
        )
