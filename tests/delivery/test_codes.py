"""F24: every error number that the documents class, in its class, with advice a person can act on."""

import pytest

from msgctl.delivery.advice import TABLES, advise
from msgctl.delivery.codes import Meaning

CLASSES = {
    ("whatsapp", Meaning.WAIT): {130429, 131056, 80007, 4},
    ("whatsapp", Meaning.RETRY): {2, 131016, 131057},
    ("whatsapp", Meaning.DOUBT): {1, 131000},
    ("whatsapp", Meaning.NEVER): {131047, 131026, 131048, 131049, 100},
    ("whatsapp", Meaning.STOP): {190, 0, 33, 131031, 368, 131042},
    ("twilio", Meaning.WAIT): {20429, 63018},
    ("twilio", Meaning.NEVER): {63016, 63038, 21610, 21211, 21658, 21617},
    ("twilio", Meaning.STOP): {20003},
    ("telegram", Meaning.WAIT): {429},
    ("telegram", Meaning.NEVER): {400, 403},
    ("telegram", Meaning.STOP): {401, 404},
}


@pytest.mark.parametrize(("who", "meaning"), CLASSES)
def test_each_number_is_in_its_class(who: str, meaning: Meaning) -> None:
    """The table of a provider holds these numbers, and no other, under this meaning."""
    assert {number for number, code in TABLES[who].items() if code.meaning is meaning} == CLASSES[who, meaning]


@pytest.mark.parametrize("code", [f"{who}_{number}" for who, table in TABLES.items() for number in table])
def test_each_number_has_advice(code: str) -> None:
    """A line begins with the number and says what happens next."""
    assert advise(code).startswith(f"{code.partition('_')[2]}: ")
    assert advise(code).endswith(".")


def test_the_issue_s_own_example() -> None:
    """131047 is told in plain words."""
    assert "24 h window" in advise("whatsapp_131047")
    assert advise("whatsapp_131047").endswith("It will not be retried.")
    assert advise("nonsense") == ""
