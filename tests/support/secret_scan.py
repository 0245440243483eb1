"""No secret and no word of a customer in any output of the suite: what a test wrote is searched when it ends.

Whatever the suite lets a program write comes through here: what each daemon and command says, captured output and
log lines of what runs within the test, the bodies of refusals, metrics, the ledger. It is searched for secrets by
their shape and by their value, and for the very texts that the test put into Redis, customers' and agents' alike.
A test whose output holds one ends in an error that names the place and the kind, never the secret.
"""

import json
import re
from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, Any, cast

import pytest

from msgctl.storage.redis import keys

if TYPE_CHECKING:
    from redis import Redis

JWT_SECRET = "a secret of the tests, 32 bytes or more"
CALLBACK_SECRET = "whsec_bXNnY3RsIHRlc3RzIGNhbGxiYWNrIHNlY3JldCE="
REDIS_PASSWORD = "secret-of-tests"
BOT_TOKEN = "7777777:AAbotSecretThatNobodyMayReadInALog"
CLOUD_TOKEN = "EAAcloudSecretThatNobodyMayReadInALog"
API_KEY = "n8n-key-that-nobody-may-read-in-a-log"

NEVER = {
    "a configured secret": re.compile(
        "|".join(map(re.escape, (JWT_SECRET, CALLBACK_SECRET, REDIS_PASSWORD, BOT_TOKEN, CLOUD_TOKEN, API_KEY)))
    ),
    "a bot's token": re.compile(r"\bbot\d{5,}:|\b\d{5,}:AA[\w-]{10,}"),
    "a signing key": re.compile(r"\bwhsec_[\w+/]{10,}"),
    "a password in a URL": re.compile(r"\w://[^\s:/@]*:[^\s/@*]+@"),
}
"""What no output shows, not even to the operator who asks."""
NOT_IN_LOGS = {
    "a token of a user": re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\."),
    "a token in a query": re.compile(r"[?&](token|ticket)=(?!\[secret\])\w{8,}"),
    "a phone number": re.compile(r"\+\d{10,15}\b"),
}
"""What a command may show to who asks for it, and no log, refusal, metric or event holds."""
SHORTEST = 4
"""Letters of a text that can be told from anything else."""
MOST = 200
"""Messages of a test whose texts are looked at."""


class Search:
    """What one test has written, and what must not be in it."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """The next test begins."""
        self.heard: list[tuple[str, str, bool]] = []
        self._texts: set[str] = set()

    def hear(self, where: str, text: str, *, shown: bool = False) -> None:
        """Something was written.

        Args:
            where: by whom, for people.
            text: what.
            shown: whether it is what an operator asked for, and not a log, a refusal or a metric.
        """
        if text:
            self.heard.append((where, text, shown))

    def learn(self, client: "Redis") -> None:
        """Take the texts of customers and agents from Redis, and the ledger as something that was written."""
        events = cast("Any", client.xrevrange(keys.EVENTS, count=MOST))
        self.hear("the ledger", json.dumps([fields for _, fields in events]))
        for texts in (_messages(client), _replies(client)):
            self._texts |= {text for text in texts if len(text) >= SHORTEST and not text.isdigit()}

    def leaks(self) -> list[str]:
        """Where something is that must not be there, and of which kind."""
        private = {**NEVER, **NOT_IN_LOGS}
        if self._texts:
            longest_first = sorted(self._texts, key=len, reverse=True)
            words = "|".join(re.escape(text) for text in longest_first)
            private["a customer's or agent's words"] = re.compile(rf"(?<![\w-])(?:{words})(?![\w-])")
        return [
            f"{where}: {kind} in {_line(text, found)!r}"
            for where, text, shown in self.heard
            for kind, pattern in (NEVER if shown else private).items()
            if (found := pattern.search(text))
        ]


SEARCH = Search()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Search what a test has written once its fixtures are gone."""
    report = yield
    if call.when == "teardown":
        for name, text in report.sections:
            SEARCH.hear(name, text)
        leaks = SEARCH.leaks()
        SEARCH.reset()
        if leaks:
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid} lets secrets out:\n" + "\n".join(leaks)
    return report


def _messages(client: "Redis") -> Iterable[str]:
    """What customers said, unless a test has made it the message's id as well."""
    key_names = [key for _, key in zip(range(MOST), client.scan_iter(f"{keys.RQ_JOB}*", 500), strict=False)]
    for key in key_names:
        if client.type(key) == "hash":
            texts = _strings(client.hget(key, keys.FIELD_MESSAGE), "message")
            yield from (text for text in texts if text != str(key).removeprefix(keys.RQ_JOB))


def _replies(client: "Redis") -> Iterable[str]:
    entries = cast("Any", client.xrevrange(keys.RESPONSES, count=MOST))
    for _, fields in entries:
        yield from _strings(fields.get("body"), "response", "message")


def _strings(document: Any, *path: str) -> Iterable[str]:
    """The text at a place of a JSON document, if there is one."""
    try:
        found = json.loads(document or "")
        for name in path:
            found = found[name]
    except (ValueError, TypeError, KeyError, RecursionError):
        return
    if isinstance(found, str):
        yield found


def _line(text: str, found: re.Match[str]) -> str:
    """The line of a find, without the find."""
    begin = text.rfind("\n", 0, found.start()) + 1
    end = text.find("\n", found.end())
    return f"{text[begin : found.start()]}[…]{text[found.end() : end if end >= 0 else None]}"[:300]
