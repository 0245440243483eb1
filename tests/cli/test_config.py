"""`msgctl config`: the values and origins of settings, and the initial file."""

import stat
from pathlib import Path

from msgctl.config.example import render
from tests.support.command_line import Invoke


async def test_config_show_prints_value_and_origin(msgctl: Invoke, tmp_path: Path) -> None:
    """The origin is the file, the environment variable, or the default."""
    (tmp_path / "config.toml").write_text("[worker]\nlease = 9\n")
    outcome = await msgctl("config", "show", "-o", "json", environ={"MSGCTL_WORKER_CONCURRENCY": "7"})
    assert outcome.json["schema"] == "msgctl.settings/1"
    assert outcome.json["file"] == "config.toml"
    items = {item["key"]: (item["value"], item["origin"]) for item in outcome.json["items"]}
    assert items["worker.lease"] == (9.0, "config.toml")
    assert items["worker.concurrency"] == (7, "MSGCTL_WORKER_CONCURRENCY")
    assert items["worker.max_crashes"] == (3, "default")


async def test_config_show_masks_secrets(msgctl: Invoke) -> None:
    """No format prints a secret, nor the user information of a URL. It shows that one is set, and where."""
    environ = {
        "REDIS_PASSWORD": "hush",
        "MSGCTL_REDIS_PASSWORD": "",
        "MSGCTL_POSTGRES_URL": "postgresql://u:hush@h/d",
        "MSGCTL_AUTH_JWT_SECRET": "hush",
        "N8N_BASE_URL": "http://u:hush@n8n:5678",
        "MSGCTL_N8N_BASE_URL": "",
        "MSGCTL_TELEGRAM_TOKEN": "hush",
    }
    for shape in ("table", "json", "jsonl", "ids"):
        outcome = await msgctl("config", "show", "-o", shape, environ=environ)
        assert outcome.code == 0
        assert "hush" not in outcome.stdout + outcome.stderr
    items = {
        item["key"]: item for item in (await msgctl("config", "show", "-o", "json", environ=environ)).json["items"]
    }
    assert (items["redis.password"]["value"], items["redis.password"]["origin"]) == ("********", "REDIS_PASSWORD")
    assert items["whatsapp.token"]["value"] == ""


async def test_config_init_creates_private_file(msgctl: Invoke, tmp_path: Path) -> None:
    """The file is the example, can be loaded, and never replaces an existing one."""
    outcome = await msgctl("config", "init")
    assert (outcome.code, outcome.stdout) == (0, "config.toml\n")
    file = tmp_path / "config.toml"
    assert file.read_text("utf-8") == render()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert (await msgctl("config", "show", "-o", "json")).json["file"] == "config.toml"
    file.write_text("# mine\n")
    again = await msgctl("config", "init")
    assert (again.code, again.stdout) == (6, "")
    assert file.read_text() == "# mine\n"


async def test_config_init_in_missing_folder_exits_78(msgctl: Invoke) -> None:
    """The folder is named in the error and not created."""
    outcome = await msgctl("config", "init", "none/config.toml")
    assert (outcome.code, outcome.stdout) == (78, "")
    assert "none/config.toml" in outcome.stderr
