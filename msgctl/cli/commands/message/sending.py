"""Sending messages from the command line, and waiting for their replies."""

import asyncio
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec

from msgctl.cli.framework.bulk_input import find_agent_by_name, find_agent_owner, pace_submissions
from msgctl.cli.framework.output import (
    OutputFormat,
    RecordFormat,
    print_json,
    print_listing,
    print_record,
    print_text,
    printable,
)
from msgctl.cli.framework.session import CommandSession
from msgctl.domain.errors import Incomplete, TryLater
from msgctl.domain.messages import Channel, State
from msgctl.intake.accept import Submission, parse_submission
from msgctl.operations.messages.reply_watcher import ENDED_MESSAGE_STATES, Replies

if TYPE_CHECKING:
    from msgctl.cli.framework.gateway_client import GatewayClient

MAX_CONCURRENT_SENDS = 50
"""Messages sent at the same time."""
RECEIPT_SCHEMA = "msgctl.receipt/1"
COLUMNS = {"messageId": "id", "conversationId": "conversation"}
COLUMNS_WAITED = {"messageId": "id", "state": "state", "reply": "reply"}


@dataclass(frozen=True)
class SendRequest:
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
    reply_timeout_s: float | None
    """Seconds to wait for each reply; None does not wait."""
    submissions: list[Submission] | None = None
    """Messages ready to send, in place of `text` and what belongs to it."""
    messages_per_second: float | None = None
    """Messages a second at most."""
    via_api: bool = False
    """Through the gateway instead of into Redis."""


async def send_all(session: CommandSession, order: SendRequest) -> list[dict[str, Any]]:
    """Send every message of an order.

    Returns:
        One record a message: `{messageId, conversationId, jobId, repeated}`, and where the reply was waited for
        also its status and `response`.

    Raises:
        NotFound: there is no such agent.
        InvalidInput: the gateway would refuse it too.
    """
    if order.submissions is None:
        order = replace(order, agent_id=await find_agent_by_name(session, order.agent_id, order.user_id))
    submissions = order.submissions or [_make_submission(order, message_id) for message_id in order.message_ids]
    users = {
        agent_id: await _sending_user(session, order, agent_id)
        for agent_id in {submission.agent_id for submission in submissions}
    }
    slots, door = asyncio.Semaphore(MAX_CONCURRENT_SENDS), _make_gateway_client(session) if order.via_api else None

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

    if order.messages_per_second is None:
        sent = await _gather_or_cancel(map(send, submissions))
    else:
        sent = [
            await send(submission) async for submission in pace_submissions(submissions, order.messages_per_second)
        ]
    return sent if order.reply_timeout_s is None else await _wait_for_replies(session, sent, order.reply_timeout_s)


async def _sending_user(session: CommandSession, order: SendRequest, agent_id: str) -> str:
    """Whose message it is; a client of the gateway that says so itself needs no PostgreSQL."""
    if order.via_api and order.user_id:
        return order.user_id
    return await find_agent_owner(session, agent_id, order.user_id)


def print_outcomes(outcomes: list[dict[str, Any]], shape: OutputFormat, *, waited: bool) -> None:
    """Print what became of an order; one message is a record, several are a listing.

    Raises:
        TryLater: a reply that was waited for has not come.
        Incomplete: a message that was waited for failed.
    """
    if len(outcomes) > 1 or shape in {OutputFormat.IDS, OutputFormat.JSONL}:
        records = [{**outcome, "reply": _reply(outcome)} for outcome in outcomes] if waited else outcomes
        columns = COLUMNS_WAITED if waited else COLUMNS
        print_listing(records, shape, schema=RECEIPT_SCHEMA, columns=columns, key="messageId")
    elif shape is OutputFormat.JSON:
        print_json({"schema": RECEIPT_SCHEMA, **outcomes[0]})
    elif not waited:
        print_record(outcomes[0], RecordFormat.TABLE, schema=RECEIPT_SCHEMA)
    elif (reply := _reply(outcomes[0])) is not None:
        print_text(printable(reply, keep="\n"))
    if waited:
        _raise_for_unanswered(outcomes)


def _make_gateway_client(session: CommandSession) -> "GatewayClient":
    from msgctl.cli.framework.gateway_client import GatewayClient  # noqa: PLC0415 - requests takes 0.1 s, and only `--via-api` needs it

    return GatewayClient(session.settings)


async def _gather_or_cancel(sendings: Iterable[Coroutine[Any, Any, dict[str, Any]]]) -> list[dict[str, Any]]:
    """The results in the order asked for; the first fault stops those not sent yet and is raised as it is."""
    tasks = [asyncio.ensure_future(sending) for sending in sendings]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


async def _wait_for_replies(
    session: CommandSession, sent: list[dict[str, Any]], timeout_s: float
) -> list[dict[str, Any]]:
    deadline = asyncio.get_running_loop().time() + timeout_s
    async with session.context.get(Replies).watch() as watch:
        return [
            record | await watch.wait_for_outcome(record["conversationId"], record["messageId"], deadline=deadline)
            for record in sent
        ]


def _make_submission(order: SendRequest, message_id: str) -> Submission:
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


def _raise_for_unanswered(outcomes: list[dict[str, Any]]) -> None:
    late = [outcome["messageId"] for outcome in outcomes if outcome["state"] not in ENDED_MESSAGE_STATES]
    failed = [outcome for outcome in outcomes if outcome["state"] == State.FAILED]
    if late:
        raise TryLater(f"{len(late)} of {len(outcomes)} not answered in time. See: msgctl status {late[0]}")
    if failed:
        error = failed[0].get("error", {})
        raise Incomplete(
            f"{len(failed)} of {len(outcomes)} failed: {error.get('code')}: {str(error.get('text')).rstrip('.')}. "
            f"See: msgctl status {failed[0]['messageId']}"
        )
