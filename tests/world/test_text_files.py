"""Files as editors and shells of other systems write them: with a byte order mark, or with CRLF."""

from pathlib import Path

import pytest

from msgctl.agents.agents import Agent
from msgctl.config.sources import load
from tests.support.command_line import Invoke

MARK = b"\xef\xbb\xbf"
SECRET = "s" * 40


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""], ids=["LF", "CRLF", "no end"])
def test_mark_of_a_configuration_file_is_no_setting(tmp_path: Path, end: bytes) -> None:
    """Notepad and PowerShell write it."""
    file = tmp_path / "config.toml"
    file.write_bytes(MARK + b"[worker]" + (end or b"\n") + b"concurrency = 7" + end)
    assert load(file, environ={}).settings.worker.concurrency == 7


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""], ids=["LF", "CRLF", "no end"])
def test_mark_of_a_secret_file_is_no_secret(tmp_path: Path, end: bytes) -> None:
    """Neither that of a file that a variable names, nor that of a systemd credential."""
    for name in ("auth.jwt_secret", "secret"):
        (tmp_path / name).write_bytes(MARK + SECRET.encode() + end)
    by_variable = load(environ={"MSGCTL_AUTH_JWT_SECRET_FILE": str(tmp_path / "secret")})
    by_credential = load(environ={"CREDENTIALS_DIRECTORY": str(tmp_path)})
    for loaded in (by_variable, by_credential):
        assert loaded.settings.auth.jwt_secret.get_secret_value() == SECRET


async def test_mark_of_a_prompt_is_no_prompt(msgctl: Invoke, tmp_path: Path) -> None:
    """`agent add --prompt-file` stores the text alone."""
    (tmp_path / "prompt.txt").write_bytes(MARK + b"Seja breve.")
    words = ("agent", "add", "--user", "ana", "--name", "A", "--webhook", "chat")
    added = await msgctl(*words, "--prompt-file", "prompt.txt", "-o", "json")
    assert added.json["systemPrompt"] == "Seja breve."


async def test_mark_of_messages_is_no_message(msgctl: Invoke, tmp_path: Path, agent: Agent) -> None:
    """`message send --from` reads each line of JSON."""
    line = f'{{"agentId": "{agent.id}", "message": "oi"}}\n'
    (tmp_path / "messages.jsonl").write_bytes(MARK + line.encode())
    outcome = await msgctl("message", "send", "--user", "ana", "--from", "messages.jsonl")
    assert outcome.code == 0, outcome.stderr
