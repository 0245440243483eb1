"""What the shell is told when someone presses Tab, as bash asks for it."""

from tests.support.command_line import Invoke, Outcome
from tests.support.messages import Traffic


async def tab(msgctl: Invoke, line: str, **environ: str) -> Outcome:
    """What completes the last word of a line, which may be empty."""
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
    return await msgctl(environ={"_MSGCTL_COMPLETE": "complete_bash", **words, **environ})


async def test_words_ids_and_names_complete(msgctl: Invoke, traffic: Traffic, agent_id: str) -> None:
    """Nouns, verbs, states, settings; ids of messages, groups, workers, agents and the journal's entries."""
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
        outcome = await tab(msgctl, line)
        assert set(outcome.stdout.split()) == found, (line, outcome)


async def test_tab_is_silent_where_nothing_answers(msgctl: Invoke) -> None:
    """A Redis that is down puts no complaint into the line someone types."""
    outcome = await tab(msgctl, "msgctl dlq show ", MSGCTL_REDIS_PORT="1")
    assert (outcome.code, outcome.stdout.strip(), outcome.stderr) == (0, "", "")
