"""`msgctl dlq`: the dead letters."""

import json

from msgctl.domain.messages import State
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.command_line import Invoke
from tests.support.messages import Traffic


async def test_dlq_list_prints_total_with_limit(msgctl: Invoke, traffic: Traffic) -> None:
    """The JSON document and the table's note have the total."""
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
    assert "the newest 2 of 3" in table.stderr


async def test_dlq_list_prints_jsonl_and_ids(msgctl: Invoke, traffic: Traffic) -> None:
    """Each JSON line has its schema."""
    await traffic.failed("m1", "m2")
    records = [json.loads(line) for line in (await msgctl("dlq", "list", "-o", "jsonl")).lines]
    assert {record["messageId"] for record in records} == {"m1", "m2"}
    assert {record["schema"] for record in records} == {"msgctl.dead-letter/1"}
    assert set((await msgctl("dlq", "list", "-o", "ids")).lines) == {"m1", "m2"}


async def test_dlq_list_without_dead_letters_exits_0(msgctl: Invoke) -> None:
    """Standard output is empty."""
    outcome = await msgctl("dlq", "list")
    assert (outcome.code, outcome.stdout, outcome.stderr) == (0, "", "none\n")


async def test_replay_enqueues_given_message(msgctl: Invoke, traffic: Traffic) -> None:
    """Other dead letters stay."""
    await traffic.failed("m1", "m2")
    outcome = await msgctl("dlq", "replay", "m1", "-o", "json")
    assert outcome.code == 0
    assert outcome.json["items"] == [{"messageId": "m1", "outcome": "replayed"}]
    states = [await traffic.queue.find(message_id) for message_id in ("m1", "m2")]
    assert [job and job.state for job in states] == [State.WAITING, State.FAILED]


async def test_replay_exits_4_if_some_are_not_replayed(msgctl: Invoke, traffic: Traffic) -> None:
    """The dead letters among the ids are replayed, and each other id has its own outcome."""
    await traffic.failed("dead")
    await traffic.completed("fine")
    outcome = await msgctl("dlq", "replay", "none", "dead", "fine", "-o", "json")
    assert outcome.code == 4
    assert [item["outcome"] for item in outcome.json["items"]] == ["missing", "replayed", "not_failed"]
    assert "2 of 3" in outcome.stderr


async def test_replay_of_unknown_message_exits_3(msgctl: Invoke) -> None:
    """No message has the id."""
    assert (await msgctl("dlq", "replay", "none")).code == 3


async def test_replay_all_requires_confirmation(msgctl: Invoke, traffic: Traffic) -> None:
    """Without a terminal and `--yes`, the error has the number of dead letters. A dry run lists their ids."""
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


async def test_replay_without_selection_exits_2(msgctl: Invoke) -> None:
    """Ids together with `--all` exit with 2 too."""
    assert (await msgctl("dlq", "replay")).code == 2
    assert (await msgctl("dlq", "replay", "m", "--all")).code == 2


async def test_replay_all_reports_lost_jobs(msgctl: Invoke, traffic: Traffic, redis: RedisClient) -> None:
    """The replay of all continues without the lost job, names it, and exits with 4."""
    await traffic.failed("m1", "gone", "m2")
    await redis.delete(keys.job_key("gone"))
    outcome = await msgctl("dlq", "replay", "--all", "--yes", "-o", "json")
    assert outcome.code == 4
    assert {item["messageId"]: item["outcome"] for item in outcome.json["items"]} == {
        "m1": "replayed",
        "m2": "replayed",
        "gone": "missing",
    }
    assert "1 of 3 messages were not replayed" in outcome.stderr
