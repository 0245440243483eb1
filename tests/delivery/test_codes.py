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
    ("whatsapp", Meaning.NEVER): {100, 130472, 130497, 131008, 131009, 131021, 131026, 131030, 131047, 131048}
    | {131049, 131050, 131051, 131052, 131053, 131062, 132000, 132001, 132005, 132007, 132012, 132015, 132016}
    | {135000},
    ("whatsapp", Meaning.STOP): {0, 3, 10, 33, 190, *range(200, 300), 368, 131005, 131031, 131037, 131042}
    | {131045, 133010},
    ("twilio", Meaning.WAIT): {20429, 30001, 63017, 63018},
    ("twilio", Meaning.NEVER): {21211, 21408, 21608, 21610, 21612, 21614, 21617, 21658, 30007, 30008}
    | {63003, 63005, 63013, 63015, 63016, 63024, 63032, 63036, 63038, 63049},
    ("twilio", Meaning.STOP): {20003, 20005, 20008, 21212, 21606, 21910, 30002, 63001, 63007, 63020}
    | {63051, 63112},
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
    assert advise("telegram_502") == "502: It may have arrived."
    assert advise("telegram_503") == "503: It is tried again."
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
    found: dict[str, str] = {}
    for row in rows:
        for first, last, name in re.findall(r"([0-9]+)(?: to ([0-9]+))?|([a-z_]+)", row.split("|")[1]):
            codes = map(str, range(int(first), int(last or first) + 1)) if first else [name]
            found |= dict.fromkeys(codes, row)
    return found


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
