"""`msgctl agent`, `msgctl token` and `msgctl db`."""

from pathlib import Path

import jwt
import psycopg
import pytest

from msgctl.config.settings import Settings
from tests.support.command_line import Invoke

ADD = ("agent", "add", "--user", "ana", "--name", "Support", "--webhook", "support/chat")


async def test_add_prints_the_id(msgctl: Invoke, tmp_path: Path) -> None:
    """The id alone for people, the whole agent as JSON."""
    plain = await msgctl(*ADD)
    assert (plain.code, len(plain.lines)) == (0, 1)
    (tmp_path / "prompt.txt").write_text("Seja gentil.")
    added = (await msgctl(*ADD, "--prompt-file", "prompt.txt", "-o", "json")).json
    assert added["systemPrompt"] == "Seja gentil."
    listed = (await msgctl("agent", "list", "-o", "json")).json
    assert listed["schema"] == "msgctl.agents/1"
    assert [item["id"] for item in listed["items"]] == [plain.lines[0], added["id"]]


async def test_list_can_be_of_one_user(msgctl: Invoke) -> None:
    """Others' agents are not in it, and ids are not broken in 80 columns."""
    (added,) = (await msgctl(*ADD)).lines
    assert (await msgctl("agent", "list", "--user", "ana", "-o", "ids")).lines == [added]
    assert (await msgctl("agent", "list", "--user", "bia", "-o", "ids")).lines == []
    table = await msgctl("agent", "list")
    assert added in table.stdout
    assert max(map(len, table.lines)) <= 80
    assert "\x1b" not in table.stdout


async def test_an_agent_is_found_by_its_name(msgctl: Invoke) -> None:
    """It is shown and switched by its name as by its id; a name that two have is refused, with what to do."""
    (added,) = (await msgctl(*ADD)).lines
    assert (await msgctl("agent", "show", "Support", "-o", "json")).json["id"] == added
    assert (await msgctl("agent", "disable", "Support")).stderr == f"disabled: {added}\n"
    assert (await msgctl("agent", "show", "Support", "-o", "json")).json["active"] is False
    assert (await msgctl("agent", "enable", "Support")).stderr == f"enabled: {added}\n"
    unknown = await msgctl("agent", "show", "Suport")
    assert (unknown.code, "agent list" in unknown.stderr) == (3, True)
    await msgctl(*ADD)
    twice = await msgctl("agent", "disable", "Support")
    assert (twice.code, "say the id" in twice.stderr) == (2, True)


async def test_an_agent_of_the_operators_own_table_has_any_id(msgctl: Invoke) -> None:
    """It is shown by the id it has there, and is not ours to switch."""
    query = (
        "SELECT 7 AS id, 'ana' AS user_id, 'Bot' AS name, NULL AS system_prompt, 'chat' AS webhook_path,"
        " true AS active WHERE %(id)s = '7'"
    )
    environ = {"MSGCTL_POSTGRES_AGENT_QUERY": query}
    assert (await msgctl("agent", "show", "7", "-o", "json", environ=environ)).json["name"] == "Bot"
    assert (await msgctl("agent", "show", "8", environ=environ)).code == 3
    assert (await msgctl("agent", "disable", "7", environ=environ)).code == 78


async def test_a_setting_of_one_agent_wins_over_the_configuration(msgctl: Invoke) -> None:
    """It is set by name, shown with its source, written into the journal, and removed by an empty value."""
    (added,) = (await msgctl(*ADD)).lines
    environ = {"MSGCTL_REPLY_FORMAT": "as-is"}

    async def in_force() -> object:
        return (await msgctl("agent", "show", "Support", "-o", "json", environ=environ)).json["inForce"]["format"]

    assert await in_force() == {"value": "as-is", "source": "reply.format"}
    changed = await msgctl("agent", "set", "Support", "format=plain", "--reason", "SMS-like")
    assert (changed.code, changed.stderr) == (0, f"set: {added} format=plain\n")
    assert await in_force() == {"value": "plain", "source": "agent"}
    assert "plain (from the agent)" in (await msgctl("agent", "show", added)).stdout
    assert (await msgctl("agent", "list", "-o", "json")).json["items"][0]["settings"] == {"format": "plain"}
    (act,) = (await msgctl("journal", "list", "-o", "json")).json["items"]
    assert (act["act"], act["before"], act["after"]) == ("agent set", {"format": None}, {"format": "plain"})
    assert (await msgctl("journal", "undo", act["entry"], "--yes")).code == 0
    assert await in_force() == {"value": "as-is", "source": "reply.format"}
    await msgctl("agent", "set", added, "format=plain")
    removed = await msgctl("agent", "set", added, "format=")
    assert removed.stderr == f"set: {added} as configured\n"
    assert await in_force() == {"value": "as-is", "source": "reply.format"}
    assert "auto (from [reply] format)" in (await msgctl("agent", "show", added)).stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["formt=plain"], "did you mean format?"),
        (["colour=red"], "It has: format"),
        (["format=pretty"], "'auto', 'plain' or 'as-is'"),
        (["format"], "format=plain"),
        (["format=plain", "fromat=auto"], "did you mean format?"),
    ],
)
async def test_a_setting_that_is_none_changes_nothing(msgctl: Invoke, words: list[str], says: str) -> None:
    """A name that is not known is answered with the nearest one, a value with those that are."""
    (added,) = (await msgctl(*ADD)).lines
    outcome = await msgctl("agent", "set", added, *words)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert says in " ".join(outcome.stderr.split())
    assert (await msgctl("agent", "list", "-o", "json")).json["items"][0]["settings"] == {}


async def test_settings_of_an_unknown_or_foreign_agent_are_refused(msgctl: Invoke) -> None:
    """No agent has this id; agents of the operator's own table are set there."""
    nobody = "5f0c7c1e-0000-4000-8000-000000000000"
    assert (await msgctl("agent", "set", nobody, "format=plain")).code == 3
    query = "SELECT %(id)s AS id, 'ana' AS user_id, 'B' AS name, '' AS system_prompt, 'c' AS webhook_path,"
    query += " true AS active"
    foreign = await msgctl("agent", "set", "7", "format=plain", environ={"MSGCTL_POSTGRES_AGENT_QUERY": query})
    assert (foreign.code, "your own table" in foreign.stderr) == (78, True)


async def test_a_webhook_that_leads_elsewhere_is_2(msgctl: Invoke) -> None:
    """It is told how one looks."""
    outcome = await msgctl("agent", "add", "--user", "a", "--name", "n", "--webhook", "http://elsewhere/x")
    assert (outcome.code, outcome.stdout) == (2, "")
    assert "support/chat" in outcome.stderr


async def test_a_token_is_printed_alone(msgctl: Invoke, settings: Settings) -> None:
    """It is the named user's, for as long as was said, and nothing else is printed."""
    secret = settings.auth.jwt_secret.get_secret_value()
    plain = await msgctl("token", "issue", "--user", "ana")
    assert (plain.code, plain.stderr, len(plain.lines)) == (0, "", 1)
    claims = jwt.decode(plain.lines[0], secret, algorithms=["HS256"])
    assert (claims["sub"], claims["exp"] - claims["iat"]) == ("ana", 3600)
    token = (await msgctl("token", "issue", "--user", "ana", "--lifetime", "90s", "-o", "json")).json["token"]
    claims = jwt.decode(token, secret, algorithms=["HS256"])
    assert claims["exp"] - claims["iat"] == 90


async def test_a_token_without_a_secret_is_78(msgctl: Invoke) -> None:
    """It says which setting is missing."""
    outcome = await msgctl("token", "issue", "--user", "ana", environ={"MSGCTL_AUTH_JWT_SECRET": ""})
    assert (outcome.code, outcome.stdout) == (78, "")
    assert "jwt_secret" in outcome.stderr


async def test_migrate_makes_the_tables_once(msgctl: Invoke, postgres_settings: Settings) -> None:
    """The first time it names what it applied, the second time nothing."""
    url = postgres_settings.postgres.url.get_secret_value()
    environ = {"MSGCTL_POSTGRES_URL": url}
    missing = await msgctl("agent", "list", environ=environ)
    assert missing.code == 78
    assert "msgctl db migrate" in missing.stderr
    first = await msgctl("db", "migrate", "-o", "json", environ=environ)
    assert (first.code, first.json["applied"]) == (
        0,
        ["0001_agents", "0002_message_events", "0003_user_tiers", "0004_agent_settings"],
    )
    assert (await msgctl("db", "migrate", "-o", "json", environ=environ)).json["applied"] == []
    async with await psycopg.AsyncConnection.connect(url) as connection:
        assert (await (await connection.execute("SELECT count(*) FROM agents")).fetchone()) == (0,)
