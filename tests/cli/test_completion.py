"""Shell completion, invoked as bash does when a person presses Tab."""

from tests.support.command_line import Invoke, Outcome
from tests.support.messages import Traffic


async def complete(msgctl: Invoke, line: str, **environ: str) -> Outcome:
    """Complete the last word of a line, which may be empty."""
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
    return await msgctl(environ={"_MSGCTL_COMPLETE": "complete_bash", **words, **environ})


async def test_completion_offers_words_ids_and_names(msgctl: Invoke, traffic: Traffic, agent_id: str) -> None:
    """It completes commands, states, settings, and the ids of messages, groups, workers, agents, and entries."""
    await traffic.failed("dead-1", "dead-2")
    await msgctl("agent", "disable", agent_id)
    (act,) = (await msgctl("journal", "list", "-o", "ids")).lines
    (group,) = (await msgctl("dlq", "groups", "-o", "ids")).lines
    await traffic.claims.heartbeat([], "idle")
    for line, found in (
        ("msgctl worker drain w", {"w1"}),
        ("msgctl qu", {"queue"}),
        ("msgctl queue cl", {"clean"}),
        ("msgctl message list --state wai", {"waiting"}),
        ("msgctl config explain redis.ho", {"redis.host"}),
        ("msgctl dlq show dead-", {"dead-1", "dead-2"}),
        ("msgctl message show dead-1", {"dead-1"}),
        ("msgctl dlq replay --group ", {group}),
        ("msgctl agent show ", {agent_id}),
        ("msgctl journal undo ", {act}),
    ):
        outcome = await complete(msgctl, line)
        assert set(outcome.stdout.split()) == found, (line, outcome)


async def test_completion_is_silent_without_redis(msgctl: Invoke) -> None:
    """An unreachable Redis prints nothing into the line."""
    outcome = await complete(msgctl, "msgctl dlq show ", MSGCTL_REDIS_PORT="1")
    assert (outcome.code, outcome.stdout.strip(), outcome.stderr) == (0, "", "")
