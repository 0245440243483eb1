"""`msgctl dlq`: the dead letters."""

import json

from msgctl.domain.messages import State
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.command_line import Invoke
from tests.support.messages import Traffic


async def test_list_states_its_window(msgctl: Invoke, traffic: Traffic) -> None:
    """With a limit, both shapes say how many there are in all."""
    await traffic.failed("m1", "m2", "m3")
    outcome = await msgctl("dlq", "list", "--limit", "2", "-o", "json")
    document = outcome.json
    assert (document["schema"], document["total"], document["limit"]) == ("msgctl.dead-letters/1", 3, 2)
    assert len(document["items"]) == 2
    assert document["items"][0]["error"]["code"] == "n8n_rejected"
    assert document["items"][0]["finishedAt"].endswith("Z")
    table = await msgctl("dlq", "list", "--limit", "2")
    assert "n8n_rejected" in table.stdout
    assert "ago" in table.stdout
    assert "The newest 2 of 3" in table.stderr


async def test_list_by_line_and_by_id(msgctl: Invoke, traffic: Traffic) -> None:
    """`jsonl` is a record a line, each with its schema; `ids` is made for xargs."""
    await traffic.failed("m1", "m2")
    records = [json.loads(line) for line in (await msgctl("dlq", "list", "-o", "jsonl")).lines]
    assert {record["messageId"] for record in records} == {"m1", "m2"}
    assert {record["schema"] for record in records} == {"msgctl.dead-letter/1"}
    assert set((await msgctl("dlq", "list", "-o", "ids")).lines) == {"m1", "m2"}


async def test_an_empty_list_is_empty_data(msgctl: Invoke) -> None:
    """Nothing on standard output, and exit 0: that there are none is no fault."""
    outcome = await msgctl("dlq", "list")
    assert (outcome.code, outcome.stdout, outcome.stderr) == (0, "", "none\n")


async def test_replay_puts_one_back_to_work(msgctl: Invoke, traffic: Traffic) -> None:
    """The named one waits again; the other stays dead."""
    await traffic.failed("m1", "m2")
    outcome = await msgctl("dlq", "replay", "m1", "-o", "json")
    assert outcome.code == 0
    assert outcome.json["items"] == [{"messageId": "m1", "outcome": "replayed"}]
    states = [await traffic.queue.find(message_id) for message_id in ("m1", "m2")]
    assert [job and job.state for job in states] == [State.WAITING, State.FAILED]


async def test_replaying_some_in_vain_is_4(msgctl: Invoke, traffic: Traffic) -> None:
    """What could be replayed was; the rest is told one by one."""
    await traffic.failed("dead")
    await traffic.completed("fine")
    outcome = await msgctl("dlq", "replay", "none", "dead", "fine", "-o", "json")
    assert outcome.code == 4
    assert [item["outcome"] for item in outcome.json["items"]] == ["missing", "replayed", "not_failed"]
    assert "2 of 3" in outcome.stderr


async def test_replaying_what_is_not_there_is_3(msgctl: Invoke) -> None:
    """No message has that id."""
    assert (await msgctl("dlq", "replay", "none")).code == 3


async def test_replay_all_must_be_confirmed(msgctl: Invoke, traffic: Traffic) -> None:
    """Without a terminal and `--yes` nothing is done, and the number is told; a dry run lists."""
    await traffic.failed("m1", "m2")
    refused = await msgctl("dlq", "replay", "--all")
    assert (refused.code, refused.stdout) == (6, "")
    assert "2 dead letters" in refused.stderr
    dry = await msgctl("dlq", "replay", "--all", "--dry-run", "-o", "ids")
    assert (dry.code, set(dry.lines)) == (0, {"m1", "m2"})
    assert (await traffic.queue.stats()).failed == 2
    assert (await msgctl("dlq", "replay", "--all", "--yes")).code == 0
    assert (await traffic.queue.stats()).failed == 0
    assert (await msgctl("dlq", "replay", "--all", "--yes")).code == 5


async def test_replay_needs_to_be_told_what(msgctl: Invoke) -> None:
    """Neither ids nor `--all`, or both: exit 2."""
    assert (await msgctl("dlq", "replay")).code == 2
    assert (await msgctl("dlq", "replay", "m", "--all")).code == 2


async def test_a_record_that_has_gone_is_skipped_and_counted(
    msgctl: Invoke, traffic: Traffic, redis: RedisClient
) -> None:
    """One of three records was lost: the replay of all does the other two, names the third, and is partial."""
    await traffic.failed("m1", "gone", "m2")
    await redis.delete(keys.job_key("gone"))
    outcome = await msgctl("dlq", "replay", "--all", "--yes", "-o", "json")
    assert outcome.code == 4
    assert {item["messageId"]: item["outcome"] for item in outcome.json["items"]} == {
        "m1": "replayed",
        "m2": "replayed",
        "gone": "missing",
    }
    assert "1 of 3 were not replayed" in outcome.stderr
