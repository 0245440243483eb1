"""F24: every error number that the documentation classifies has its meaning and useful advice."""

import re
from pathlib import Path

import pytest

from msgctl.channels.error_codes import Meaning
from msgctl.channels.registry import BUILT_IN
from msgctl.delivery.error_help import MSGCTL_ADVICE, advise

TABLES = {who: table for channel in BUILT_IN for who, table in channel.error_codes.items()}

CLASSES = {
    ("whatsapp", Meaning.WAIT): {130429, 131056, 80007, 4},
    ("whatsapp", Meaning.RETRY): {2, 131016, 131057},
    ("whatsapp", Meaning.UNKNOWN): {1, 131000},
    ("whatsapp", Meaning.NEVER): {131047, 131026, 131048, 131049, 100},
    ("whatsapp", Meaning.STOP): {190, 0, 33, 131031, 368, 131042},
    ("twilio", Meaning.WAIT): {20429, 63018},
    ("twilio", Meaning.NEVER): {63016, 63038, 21610, 21211, 21658, 21617},
    ("twilio", Meaning.STOP): {20003},
    ("telegram", Meaning.WAIT): {429},
    ("telegram", Meaning.NEVER): {400, 403},
    ("telegram", Meaning.STOP): {401, 404},
    ("callback", Meaning.RETRY): {301, 302, 303, 307, 308, 401, 403, 404, 408, 425, 429},
    ("callback", Meaning.NEVER): {410},
}


@pytest.mark.parametrize(("who", "meaning"), CLASSES)
def test_each_number_has_its_meaning(who: str, meaning: Meaning) -> None:
    """The table of a provider holds exactly these numbers with this meaning."""
    assert {number for number, code in TABLES[who].items() if code.meaning is meaning} == CLASSES[who, meaning]


@pytest.mark.parametrize("code", [f"{who}_{number}" for who, table in TABLES.items() for number in table])
def test_each_number_has_advice(code: str) -> None:
    """The line begins with the number and says what happens next."""
    assert advise(code).startswith(f"{code.partition('_')[2]}: ")
    assert advise(code).endswith(".")


def test_131047_is_explained() -> None:
    """131047 is explained in plain words, and an unknown code is not."""
    assert "24 h window" in advise("whatsapp_131047")
    assert advise("whatsapp_131047").endswith("It will not be retried.")
    assert advise("nonsense") == ""


def test_unlisted_number_is_explained_by_its_status() -> None:
    """An HTTP status explains itself; a provider's own number refers to its documentation."""
    assert advise("telegram_502") == "502: It is tried again."
    assert advise("telegram_418") == "418: It will not be retried."
    assert "documentation" in advise("twilio_21603")


SECTIONS = {
    "telegram": "Telegram",
    "whatsapp": "WhatsApp by Meta's Cloud API",
    "twilio": "WhatsApp by Twilio",
    "callback": "HTTP callback (channel `api`)",
}
WORDS = {
    Meaning.RETRY: "tried again",
    Meaning.WAIT: "waits",
    Meaning.NEVER: "final",
    Meaning.STOP: "the channel stops",
    Meaning.UNKNOWN: "UNKNOWN",
}


def documented(section: str) -> dict[str, str]:
    """Return each code of a section's error table in docs/providers.md, with its row."""
    text = (Path(__file__).parents[2] / "docs" / "providers.md").read_text("utf-8")
    [_, body] = re.split(rf"^## {re.escape(section)}$", text, flags=re.MULTILINE)
    rows = [line for line in body.partition("\n## ")[0].splitlines() if line.startswith("| ")]
    return {code: row for row in rows for code in re.findall(r"[a-z_]+|[0-9]+", row.split("|")[1])}


@pytest.mark.parametrize("who", TABLES)
def test_documentation_lists_each_number(who: str) -> None:
    """docs/providers.md has each number of a provider, in a row that says what follows for the delivery."""
    rows = documented(SECTIONS[who])
    assert {int(code) for code in rows if code.isdigit()} == set(TABLES[who])
    for number, code in TABLES[who].items():
        assert WORDS[code.meaning] in rows[str(number)], number


def test_documentation_lists_the_codes_of_msgctl() -> None:
    """Each code that no provider gave is explained."""
    assert {*MSGCTL_ADVICE, *(code for channel in BUILT_IN for code in channel.error_advice)} <= documented(
        "Errors of msgctl's own"
    ).keys()
