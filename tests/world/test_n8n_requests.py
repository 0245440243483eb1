"""How msgctl presents itself to n8n: credentials of every kind of its Webhook node, and the User-Agent."""

import base64
import re
from pathlib import Path
from typing import Any

import pytest

from msgctl.agents.agents import Agent
from msgctl.config.settings import N8nSettings, Settings
from msgctl.config.sources import load
from msgctl.domain.errors import ConfigurationError
from msgctl.domain.messages import Message
from msgctl.http.user_agent import USER_AGENT, make_user_agent
from msgctl.local.fakes.n8n import FakeN8n
from msgctl.processing.n8n import WorkflowClient
from msgctl.processing.n8n_headers import fixed_headers
from msgctl.processing.payload import prepare_payload

AGENT = Agent(id="a-1", user_id="u", name="Ana", webhook_path="id/chat")
MESSAGE = Message(
    message_id="m-1",
    conversation_id="c-1",
    agent_id="a-1",
    user_id="u",
    message="Oi",
    timestamp="2026-01-01T00:00:00Z",
)
SECRET = "zq1-never-shown"


def basic(login: str) -> str:
    """The header of Basic Auth."""
    return f"Basic {base64.b64encode(login.encode()).decode()}"


CREDENTIALS: list[tuple[str, dict[str, str], dict[str, str]]] = [
    ("no authentication", {}, {}),
    ("Header Auth by the shipped name", {"api_key": "k"}, {"x-api-key": "k"}),
    ("Header Auth by another name", {"header_name": "X-My-Key", "header_value": "k 1"}, {"x-my-key": "k 1"}),
    (
        "Header Auth named Authorization",
        {"header_name": "Authorization", "header_value": "Token k"},
        {"authorization": "Token k"},
    ),
    ("Bearer, also JWT Auth", {"bearer_token": "t"}, {"authorization": "Bearer t"}),
    ("Bearer, with the word before it", {"bearer_token": "Bearer t"}, {"authorization": "Bearer t"}),
    ("Basic Auth", {"username": "ana", "password": "p:ü/@"}, {"authorization": basic("ana:p:ü/@")}),
    ("Basic Auth without a password", {"username": "ana"}, {"authorization": basic("ana:")}),
    (
        "Basic Auth of a proxy, and a key of n8n's",
        {"username": "ana", "password": "p", "api_key": "k"},
        {"authorization": basic("ana:p"), "x-api-key": "k"},
    ),
    (
        "Bearer of a proxy, and a key of n8n's by another name",
        {"bearer_token": "t", "header_name": "X-Key", "header_value": "k"},
        {"authorization": "Bearer t", "x-key": "k"},
    ),
]


@pytest.mark.parametrize(
    ("credentials", "expected"), [row[1:] for row in CREDENTIALS], ids=[row[0] for row in CREDENTIALS]
)
async def test_credentials_arrive(
    settings: Settings, n8n: FakeN8n, credentials: dict[str, str], expected: dict[str, str]
) -> None:
    """Each kind of credential of n8n's Webhook node arrives as its header, and no other does."""
    n8n_settings = N8nSettings.model_validate({"base_url": n8n.url, **credentials})
    async with WorkflowClient(settings.model_copy(update={"n8n": n8n_settings})) as client:
        await client.call(AGENT, MESSAGE, prepare_payload(AGENT, MESSAGE, []))
    (request,) = n8n.requests
    assert request["path"] == "/webhook/id/chat"
    known = {"authorization", "x-api-key", *expected}
    assert {name: value for name, value in request["headers"].items() if name in known} == expected
    assert request["headers"]["user-agent"] == USER_AGENT


REFUSED: list[tuple[str, dict[str, str], str]] = [
    ("a name that is none", {"header_name": "X Key", "header_value": SECRET}, "n8n.header_name"),
    ("a name with its colon", {"header_name": "X-Key:", "header_value": SECRET}, "without a colon"),
    ("a name that HTTP needs", {"header_name": "Content-Length", "header_value": SECRET}, "Content-Length"),
    ("a name that msgctl needs", {"header_name": "x-message-id", "header_value": SECRET}, "x-message-id"),
    ("a line break", {"header_name": "X-Key", "header_value": f"{SECRET}\nX: 1"}, "n8n.header_value"),
    ("no ASCII", {"api_key": f"{SECRET}é"}, "n8n.api_key"),
    ("a space at the end", {"api_key": f"{SECRET} "}, "n8n.api_key"),
    ("two tokens", {"bearer_token": f"{SECRET} b"}, "n8n.bearer_token"),
    ("a colon in the user", {"username": "a:b", "password": SECRET}, "n8n.username"),
    ("a value without a name", {"header_value": SECRET}, "header_name"),
    ("a name without a value", {"header_name": "X-Key"}, "header_value"),
    ("a password without a user", {"password": SECRET}, "username"),
    ("Bearer and Basic", {"bearer_token": SECRET, "username": "ana"}, "bearer_token and username"),
    (
        "Bearer and a header named Authorization",
        {"bearer_token": SECRET, "header_name": "authorization", "header_value": "x"},
        "header_name and bearer_token",
    ),
    (
        "Basic, and a user in the URL",
        {"base_url": f"http://ana:{SECRET}@127.0.0.1:1", "username": "ana"},
        "username and a user in base_url",
    ),
    ("two keys of one name", {"api_key": SECRET, "header_name": "x-api-key", "header_value": "x"}, "api_key"),
    ("a slash in the URL's password", {"base_url": f"http://ana:{SECRET}/x@127.0.0.1:1"}, "n8n.base_url"),
    ("an at sign in the URL's password", {"base_url": f"http://ana:{SECRET}@x@127.0.0.1:1"}, "n8n.base_url"),
    ("a port that is none", {"base_url": f"http://127.0.0.1:{SECRET}"}, "n8n.base_url"),
    ("no host", {"base_url": "http://:5678"}, "n8n.base_url"),
]


@pytest.mark.parametrize(("credentials", "named"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
@pytest.mark.parametrize("as_file", [False, True], ids=["variables", "files"])
def test_wrong_credential_is_named_and_not_shown(
    tmp_path: Path, credentials: dict[str, str], named: str, *, as_file: bool
) -> None:
    """The configuration is refused before a daemon starts, and the text names the setting and no value."""
    environ = {}
    for name, value in credentials.items():
        variable = f"MSGCTL_N8N_{name.upper()}"
        if as_file:
            (tmp_path / name).write_text(f"{value}\n", "utf-8")
            environ[f"{variable}_FILE"] = str(tmp_path / name)
        else:
            environ[variable] = value
    with pytest.raises(ConfigurationError) as refused:
        load(environ=environ)
    assert named in refused.value.message
    assert SECRET not in refused.value.message


def test_settings_hide_every_credential() -> None:
    """Neither the text of the settings nor that of a header's source shows one."""
    values: dict[str, Any] = {
        "header_name": "X-Key",
        "header_value": SECRET,
        "bearer_token": SECRET,
        "api_key": SECRET,
    }
    settings = N8nSettings.model_validate(values)
    assert SECRET not in repr(settings)
    assert SECRET in fixed_headers(settings)["X-Key"]


ISBOT_PATTERNS_OF_A_PRODUCT = {
    # The patterns that a client named by one product meets: `find` of isbot 3.6.13, which n8n-nodes-base 2.41.2
    # depends on (package.json), and of isbot 5.2.3, the newest. Its other patterns are words, such as `bot` and
    # `http`. Both versions were called from npm with the values below and gave these results.
    "isbot 3.6.13": r"^[\w \.\-\(\)]+(/v?\d+(\.\d+)?(\.\d{1,10})?)?$",
    "isbot 5.2.3": r"^[\w \.\-\(?:\):%]+(?:/v?\d+(?:\.\d+)?(?:\.\d{1,10})*?)?(?:,|$)",
}
ISBOT_WORDS = re.compile(r"bot|http|scan|spider|crawl|news|google|check|monitor|fetch|headless", re.IGNORECASE)
META_PATTERN = re.compile(
    r"^[a-zA-Z0-9\-_]+\/[0-9]+\.[0-9]+\.[0-9]+(;[a-zA-Z0-9\-=\.]+)?(\s+[a-zA-Z0-9\-_]+\/[0-9\-\.]+)?$"
)
"""Of `UserAgent` in https://github.com/facebook/openapi, business-messaging-api_v23.0.yaml."""


@pytest.mark.parametrize("version", ["0.1.0", "1.12.3", "2.0", "10.20.30", "1.0.0rc1", "1.2.0.dev3+g1a2b3c4"])
def test_user_agent_is_no_bot_and_fits_meta(version: str) -> None:
    """n8n's "Ignore Bots" lets it through, and so does Meta's description of its API, in every release."""
    user_agent = make_user_agent(version)
    assert re.match(r"msgctl/\d+\.\d+\.\d+ ", user_agent)
    assert META_PATTERN.search(user_agent)
    assert not ISBOT_WORDS.search(user_agent)
    for library, pattern in ISBOT_PATTERNS_OF_A_PRODUCT.items():
        assert not re.search(pattern, user_agent, re.IGNORECASE), library
        assert re.search(pattern, "msgctl", re.IGNORECASE), library
        assert re.search(pattern, "msgctl/0.1.0", re.IGNORECASE), library
