"""`msgctl smoke`, against a whole pipeline of real daemons."""

from pathlib import Path
from xml.etree import ElementTree as ET

from msgctl.config.settings import Settings
from msgctl.local.fakes.n8n import FakeN8n
from tests.support.command_line import Invoke
from tools.support.daemons import Daemon


async def test_smoke_reports_each_check(
    msgctl: Invoke, settings: Settings, n8n: FakeN8n, agent_id: str, tmp_path: Path
) -> None:
    """The table and the JUnit XML have each check. A budget that is too small exits with 4."""
    token = (await msgctl("token", "issue", "--user", "ana")).stdout.strip()
    async with (
        Daemon("worker", settings),
        Daemon("subscriber", settings),
        Daemon("gateway", settings) as gateway,
    ):
        port = gateway.status.rpartition(":")[2].strip().rstrip("/.")
        words = (
            "smoke",
            "--url",
            f"http://127.0.0.1:{port}",
            "--token",
            token,
            "--agent",
            agent_id,
            "--count",
            "6",
        )
        outcome = await msgctl(*words, "--timeout", "60", "--junit", "smoke.xml", "-o", "json")
        assert outcome.code == 0, outcome
        assert [case["case"] for case in outcome.json["cases"] if case["passed"]] == [
            "answered",
            "within budget",
            "heard at the socket",
            "in order",
            "once",
        ]
        suite = ET.parse(tmp_path / "smoke.xml").getroot()
        assert (suite.get("tests"), suite.get("failures")) == ("5", "0")
        callback = ("--channel", "api", "--to", "https://example.com/replies")
        slow = await msgctl(*words, "--budget", "0.0001s", *callback)
        assert (slow.code, "took longer" in slow.stderr) == (4, True)
        refused = await msgctl(*words[:4], "nonsense", *words[5:])
        assert refused.code == 69
        for word in ("4401", "token", "msgctl token issue --user"):
            assert word in refused.stderr
        by_api = await msgctl(*words[:4], "nonsense", *words[5:], *callback)
        assert (by_api.code, "msgctl token issue --user" in by_api.stderr) == (69, True)
        homeless = await msgctl(*words, "--channel", "api")
        assert (homeless.code, "Give --to" in homeless.stderr) == (2, True)
        named = await msgctl(*words[:6], "nope", *words[7:])
        assert (named.code, "'nope' is not an agent id" in named.stderr) == (2, True)
        nobody = await msgctl(*words[:6], "5f0c7c1e-0000-4000-8000-000000000000", *words[7:])
        assert (nobody.code, "{" in nobody.stderr, "msgctl agent list" in nobody.stderr) == (3, False, True)
        configured = await msgctl("smoke", *words[3:], environ={"MSGCTL_GATEWAY_PORT": port})
        assert configured.code == 0, configured
    down = await msgctl(*words)
    assert down.code == 69
    for word in (f"http://127.0.0.1:{port}", "--url"):
        assert word in down.stderr
    assert (await msgctl("stats", environ={"MSGCTL_SMOKE_TOKEN": token})).code == 0, "the variable is ours"
