"""`msgctl agent`, `msgctl token`, and `msgctl db`."""

from pathlib import Path

import jwt
import psycopg
import pytest

from msgctl.config.settings import Settings
from tests.support.command_line import Invoke

ADD = ("agent", "add", "--user", "ana", "--name", "Support", "--webhook", "support/chat")


async def test_agent_add_prints_id(msgctl: Invoke, tmp_path: Path) -> None:
    """The table format prints the id alone, JSON prints the whole agent."""
    plain = await msgctl(*ADD)
    assert (plain.code, len(plain.lines)) == (0, 1)
    (tmp_path / "prompt.txt").write_text("Seja gentil.")
    added = (await msgctl(*ADD, "--prompt-file", "prompt.txt", "-o", "json")).json
    assert added["systemPrompt"] == "Seja gentil."
    listed = (await msgctl("agent", "list", "-o", "json")).json
    assert listed["schema"] == "msgctl.agents/1"
    assert [item["id"] for item in listed["items"]] == [plain.lines[0], added["id"]]


async def test_agent_list_filters_by_user(msgctl: Invoke) -> None:
    """It leaves out agents of other users, and ids stay whole at 80 columns."""
    (added,) = (await msgctl(*ADD)).lines
    assert (await msgctl("agent", "list", "--user", "ana", "-o", "ids")).lines == [added]
    assert (await msgctl("agent", "list", "--user", "bia", "-o", "ids")).lines == []
    table = await msgctl("agent", "list")
    assert added in table.stdout
    assert max(map(len, table.lines)) <= 80
    assert "\x1b" not in table.stdout


async def test_agent_commands_accept_a_name(msgctl: Invoke) -> None:
    """A unique name works like the id. A name that two agents have is refused."""
    (added,) = (await msgctl(*ADD)).lines
    assert (await msgctl("agent", "show", "Support", "-o", "json")).json["id"] == added
    assert (await msgctl("agent", "disable", "Support")).stderr == f"disabled: {added}\n"
    assert (await msgctl("agent", "show", "Support", "-o", "json")).json["active"] is False
    assert (await msgctl("agent", "enable", "Support")).stderr == f"enabled: {added}\n"
    unknown = await msgctl("agent", "show", "Suport")
    assert (unknown.code, "agent list" in unknown.stderr) == (3, True)
    await msgctl(*ADD)
    twice = await msgctl("agent", "disable", "Support")
    assert (twice.code, "Give the id" in twice.stderr) == (2, True)


async def test_agent_of_custom_table_is_shown_by_any_id(msgctl: Invoke) -> None:
    """Agents of the operator's own table cannot be switched."""
    query = (
        "SELECT 7 AS id, 'ana' AS user_id, 'Bot' AS name, NULL AS system_prompt, 'chat' AS webhook_path,"
        " true AS active WHERE %(id)s = '7'"
    )
    environ = {"MSGCTL_POSTGRES_AGENT_QUERY": query}
    assert (await msgctl("agent", "show", "7", "-o", "json", environ=environ)).json["name"] == "Bot"
    assert (await msgctl("agent", "show", "8", environ=environ)).code == 3
    assert (await msgctl("agent", "disable", "7", environ=environ)).code == 78


async def test_agent_set_overrides_configuration(msgctl: Invoke) -> None:
    """`show` names the source, the journal records the change, and an empty value removes it."""
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
async def test_agent_set_refuses_invalid_setting(msgctl: Invoke, words: list[str], says: str) -> None:
    """The error suggests the nearest name, or lists the valid values."""
    (added,) = (await msgctl(*ADD)).lines
    outcome = await msgctl("agent", "set", added, *words)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert says in " ".join(outcome.stderr.split())
    assert (await msgctl("agent", "list", "-o", "json")).json["items"][0]["settings"] == {}


async def test_agent_set_refuses_unknown_and_foreign_agents(msgctl: Invoke) -> None:
    """Agents of the operator's own table are changed there."""
    nobody = "5f0c7c1e-0000-4000-8000-000000000000"
    assert (await msgctl("agent", "set", nobody, "format=plain")).code == 3
    query = "SELECT %(id)s AS id, 'ana' AS user_id, 'B' AS name, '' AS system_prompt, 'c' AS webhook_path,"
    query += " true AS active"
    foreign = await msgctl("agent", "set", "7", "format=plain", environ={"MSGCTL_POSTGRES_AGENT_QUERY": query})
    assert (foreign.code, "your own table" in foreign.stderr) == (78, True)


async def test_agent_add_refuses_absolute_webhook_url(msgctl: Invoke) -> None:
    """The error shows a valid path."""
    outcome = await msgctl("agent", "add", "--user", "a", "--name", "n", "--webhook", "http://elsewhere/x")
    assert (outcome.code, outcome.stdout) == (2, "")
    assert "support/chat" in outcome.stderr


async def test_token_issue_prints_token_only(msgctl: Invoke, settings: Settings) -> None:
    """The token has the given user and lifetime."""
    secret = settings.auth.jwt_secret.get_secret_value()
    plain = await msgctl("token", "issue", "--user", "ana")
    assert (plain.code, plain.stderr, len(plain.lines)) == (0, "", 1)
    claims = jwt.decode(plain.lines[0], secret, algorithms=["HS256"])
    assert (claims["sub"], claims["exp"] - claims["iat"]) == ("ana", 3600)
    token = (await msgctl("token", "issue", "--user", "ana", "--lifetime", "90s", "-o", "json")).json["token"]
    claims = jwt.decode(token, secret, algorithms=["HS256"])
    assert claims["exp"] - claims["iat"] == 90


async def test_token_issue_without_secret_exits_78(msgctl: Invoke) -> None:
    """The error names the missing setting."""
    outcome = await msgctl("token", "issue", "--user", "ana", environ={"MSGCTL_AUTH_JWT_SECRET": ""})
    assert (outcome.code, outcome.stdout) == (78, "")
    assert "jwt_secret" in outcome.stderr


async def test_migrate_applies_each_migration_once(msgctl: Invoke, postgres_settings: Settings) -> None:
    """The first run lists the migrations, the second lists none."""
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
