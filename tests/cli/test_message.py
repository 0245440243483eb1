"""`msgctl message`: send, wait, and show."""

import asyncio

import pytest

from msgctl.domain.messages import Channel
from msgctl.storage.redis.client import RedisClient
from tests.support.command_line import Invoke
from tests.support.messages import Traffic, commit
from tools.support.daemons import until


async def test_send_enqueues_message(msgctl: Invoke, traffic: Traffic, agent_id: str) -> None:
    """The job has the given fields and belongs to the agent's owner."""
    outcome = await msgctl(
        *("message", "send", "Olá", "--agent", agent_id, "--conversation", "c", "--channel", "telegram"),
        *("--metadata", '{"chatId": 42}', "--priority", "2", "--id", "m", "-o", "json"),
    )
    assert (outcome.code, outcome.stderr) == (0, "")
    assert outcome.json == {
        "schema": "msgctl.receipt/1",
        "messageId": "m",
        "conversationId": "c",
        "jobId": "m",
        "repeated": False,
    }
    job = await traffic.queue.find("m")
    assert job is not None
    message = job.message
    assert (message.message, message.user_id, message.priority) == ("Olá", "ana", 2)
    assert (message.channel, message.channel_metadata) == (Channel.TELEGRAM, {"chatId": 42})


async def test_send_with_same_id_is_repetition(msgctl: Invoke, agent_id: str) -> None:
    """The second receipt says `repeated`. Another text under the same id exits with 6."""
    send = ("message", "send", "--agent", agent_id, "--id", "m", "-o", "json")
    first, second = await msgctl(*send, "hello"), await msgctl(*send, "hello")
    assert (first.json["repeated"], second.json["repeated"]) == (False, True)
    assert first.json["conversationId"] == second.json["conversationId"]
    assert (await msgctl(*send, "other")).code == 6


async def test_send_count_enqueues_many(msgctl: Invoke, traffic: Traffic, agent_id: str) -> None:
    """Each message has its own id, and `-o ids` prints only the ids."""
    outcome = await msgctl("message", "send", "hello", "--agent", agent_id, "--count", "120", "-o", "ids")
    assert outcome.code == 0
    assert len(set(outcome.lines)) == 120
    assert (await traffic.queue.stats()).waiting == 120


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["", "--agent", "AGENT"], 2, "message"),
        (["x", "--agent", "AGENT", "--priority", "11"], 2, "priority"),
        (["x", "--agent", "AGENT", "--metadata", "[]"], 2, "--metadata"),
        (["x", "--agent", "AGENT", "--metadata", "{"], 2, "--metadata"),
        (["x", "--agent", "AGENT", "--metadata", '{"a": "\\ud800"}'], 2, "--metadata"),
        (["\udcff", "--agent", "AGENT"], 2, "not UTF-8"),
        (["x", "--agent", "AGENT", "--conversation", "a b"], 2, "conversationId"),
        (["x", "--agent", "AGENT", "--count", "2", "--id", "m"], 2, "--id"),
        (["x", "--agent", "AGENT", "--wait", "--timeout", "soon"], 2, "soon"),
        (["x", "--agent", "5f0c7c1e-0000-4000-8000-000000000000"], 3, "no such agent"),
        (["x", "--agent", "AGENT", "--user", "bia"], 3, "no such agent"),
    ],
)
async def test_send_refuses_invalid_arguments(
    msgctl: Invoke, redis: RedisClient, agent_id: str, *, arguments: list[str], code: int, complaint: str
) -> None:
    """One line names the fault, and nothing is stored."""
    given = [agent_id if argument == "AGENT" else argument for argument in arguments]
    outcome = await msgctl("message", "send", *given)
    assert (outcome.code, outcome.stdout) == (code, "")
    (line,) = outcome.stderr.splitlines()
    assert complaint in line
    assert await redis.dbsize() == 0


async def test_send_wait_prints_reply(msgctl: Invoke, traffic: Traffic, agent_id: str) -> None:
    """Standard output has only the reply, with its line breaks."""
    sending = asyncio.create_task(msgctl("message", "send", "hello", "--agent", agent_id, "--wait"))
    await answer_next(traffic, "I am\nwell. \x1b[31mRed?")
    outcome = await sending
    assert (outcome.code, outcome.stdout, outcome.stderr) == (0, "I am\nwell. ?[31mRed?\n", "")


async def test_send_wait_json_has_status_and_response(msgctl: Invoke, traffic: Traffic, agent_id: str) -> None:
    """The record joins the receipt, the status, and the response."""
    sending = asyncio.create_task(msgctl("message", "send", "hello", "--agent", agent_id, "--wait", "-o", "json"))
    await answer_next(traffic, "Well.")
    record = (await sending).json
    assert (record["state"], record["progress"]) == ("completed", 100)
    assert record["response"]["message"] == "Well."


async def test_send_wait_exits_4_if_message_fails(msgctl: Invoke, traffic: Traffic, agent_id: str) -> None:
    """The error is on standard error."""
    sending = asyncio.create_task(msgctl("message", "send", "hello", "--agent", agent_id, "--wait"))
    await until(lambda: has_waiting_message(traffic), "the message to wait")
    (claimed,) = await traffic.claims.claim(1)
    await traffic.fail(claimed)
    outcome = await sending
    assert (outcome.code, outcome.stdout) == (4, "")
    assert "n8n_rejected" in outcome.stderr


async def test_send_wait_exits_75_without_reply(msgctl: Invoke, agent_id: str) -> None:
    """The error names the command that shows the message."""
    outcome = await msgctl("message", "send", "hello", "--agent", agent_id, "--wait", "--timeout", "0.5s")
    assert (outcome.code, outcome.stdout) == (75, "")
    assert "msgctl status" in outcome.stderr


@pytest.mark.parametrize("command", [("message", "show"), ("status",)])
async def test_show_json_has_status_error_and_times(
    msgctl: Invoke, traffic: Traffic, command: tuple[str, ...]
) -> None:
    """`status` is the same command. Times are milliseconds and RFC 3339."""
    await traffic.failed("m")
    outcome = await msgctl(*command, "m", "-o", "json")
    assert outcome.code == 0
    record = outcome.json
    assert record["schema"] == "msgctl.message/1"
    assert (record["messageId"], record["state"], record["runs"]) == ("m", "failed", 1)
    assert record["error"]["code"] == "n8n_rejected"
    assert isinstance(record["finishedOn"], int)
    assert record["finishedAt"].endswith("Z")


async def test_show_of_dead_letter_names_replay(msgctl: Invoke, traffic: Traffic) -> None:
    """The table has one line for each field, and standard error names the command."""
    await traffic.failed("m")
    outcome = await msgctl("message", "show", "m")
    assert outcome.code == 0
    assert any(line.split() == ["state", "failed"] for line in outcome.lines)
    assert "msgctl dlq replay m" in outcome.stderr


async def test_show_of_unknown_message_exits_3(msgctl: Invoke) -> None:
    """The error is one line."""
    outcome = await msgctl("message", "show", "none")
    assert (outcome.code, outcome.stdout) == (3, "")
    (line,) = outcome.stderr.splitlines()
    assert line.startswith("msgctl: There is no such message: none.")


async def has_waiting_message(traffic: Traffic) -> bool:
    """Return whether a message waits."""
    return (await traffic.queue.stats()).waiting > 0


async def answer_next(traffic: Traffic, text: str) -> None:
    """Claim the next message and commit a reply to it."""
    await until(lambda: has_waiting_message(traffic), "the message to wait")
    (claimed,) = await traffic.claims.claim(1)
    assert await commit(traffic.claims, claimed, text)
