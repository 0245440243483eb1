"""Sending messages from the command line, and waiting for their replies."""

import asyncio
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec

from msgctl.cli.framework.bulk_input import find_agent_id, find_agent_owner, pace_submissions
from msgctl.cli.framework.options import OutputFormat, RecordFormat
from msgctl.cli.framework.output import print_json, print_listing, print_record, print_text, printable
from msgctl.cli.framework.session import CommandSession
from msgctl.domain.errors import Incomplete, TryLater
from msgctl.domain.messages import Channel, State
from msgctl.intake.accept import Submission, parse_submission
from msgctl.operations.messages.reply_watcher import ENDED_MESSAGE_STATES, Replies

if TYPE_CHECKING:
    from msgctl.cli.framework.gateway_client import GatewayClient

MAX_CONCURRENT_SENDS = 50
"""Maximum number of messages being sent at the same time."""
RECEIPT_SCHEMA = "msgctl.receipt/1"
COLUMNS = {"messageId": "id", "conversationId": "conversation"}
COLUMNS_WAITED = {"messageId": "id", "state": "state", "reply": "reply"}


@dataclass(frozen=True)
class SendRequest:
    """The messages to send, and how."""

    text: str
    agent_id: str
    """The agent's id, or its name if no other agent has it."""
    user_id: str | None
    """None means the agent's owner."""
    conversation_id: str | None
    """None means a new conversation for each message."""
    channel: Channel
    metadata: dict[str, Any]
    priority: int
    message_ids: list[str]
    """One id for each message."""
    reply_timeout_s: float | None
    """Seconds to wait for all replies. None does not wait."""
    submissions: list[Submission] | None = None
    """Complete messages, instead of `text` and the fields that belong to it."""
    messages_per_second: float | None = None
    """Maximum number of messages per second."""
    via_api: bool = False
    """Send through the gateway instead of into Redis."""


async def send_all(session: CommandSession, request: SendRequest) -> list[dict[str, Any]]:
    """Send every message of a request.

    Returns:
        One record for each message: `{messageId, conversationId, jobId, repeated}`, with its status and `response`
        if the request waits for replies.

    Raises:
        NotFound: the agent does not exist.
        InvalidInput: a message is invalid; the gateway would refuse it too.
    """
    if request.submissions is None:
        request = replace(request, agent_id=await find_agent_id(session, request.agent_id, request.user_id))
    submissions = request.submissions or [
        _make_submission(request, message_id) for message_id in request.message_ids
    ]
    users = {
        agent_id: await _sending_user(session, request, agent_id)
        for agent_id in {submission.agent_id for submission in submissions}
    }
    slots = asyncio.Semaphore(MAX_CONCURRENT_SENDS)
    client = _make_gateway_client(session) if request.via_api else None

    async def send(submission: Submission) -> dict[str, Any]:
        user_id = users[submission.agent_id]
        async with slots:
            if client:
                return await client.send(submission, user_id)
            receipt = await session.intake.accept(submission, user_id)
        return {
            "messageId": receipt.message_id,
            "conversationId": receipt.conversation_id,
            "jobId": receipt.message_id,
            "repeated": receipt.repeated,
        }

    if request.messages_per_second is None:
        sent = await _gather_or_cancel(map(send, submissions))
    else:
        sent = [
            await send(submission)
            async for submission in pace_submissions(submissions, request.messages_per_second)
        ]
    return (
        sent
        if request.reply_timeout_s is None
        else await _wait_for_replies(session, sent, request.reply_timeout_s)
    )


async def _sending_user(session: CommandSession, request: SendRequest, agent_id: str) -> str:
    """Return the user who sends to an agent. `--via-api` with `--user` needs no PostgreSQL."""
    if request.via_api and request.user_id:
        return request.user_id
    return await find_agent_owner(session, agent_id, request.user_id)


def print_replies(outcomes: list[dict[str, Any]], shape: OutputFormat, *, waited: bool) -> None:
    """Print what became of the messages, as a record for one message and as a listing for several.

    Raises:
        TryLater: a reply did not come in time.
        Incomplete: a message failed.
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
    from msgctl.cli.framework.gateway_client import GatewayClient  # noqa: PLC0415 - requests takes 0.1 s

    return GatewayClient(session.settings)


async def _gather_or_cancel(sendings: Iterable[Coroutine[Any, Any, dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the results in order. The first error cancels the messages that are not sent yet, and is raised."""
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


def _make_submission(request: SendRequest, message_id: str) -> Submission:
    """Make a submission of a JSON body, so that the checks are those of the gateway."""
    body = {
        "agentId": request.agent_id,
        "message": request.text,
        "conversationId": request.conversation_id,
        "channel": request.channel,
        "channelMetadata": request.metadata,
        "priority": request.priority,
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
        raise TryLater(
            f"{len(late)} of {len(outcomes)} messages were not answered in time. See: msgctl status {late[0]}"
        )
    if failed:
        error = failed[0].get("error", {})
        text = str(error.get("text")).rstrip(".")
        raise Incomplete(
            f"{len(failed)} of {len(outcomes)} messages failed: {error.get('code')}: {text}. "
            f"See: msgctl status {failed[0]['messageId']}"
        )
