"""What a client is told of a message that cannot be taken."""

import pytest

from msgctl.domain.errors import InvalidInput
from msgctl.intake.accept import parse_submission

AGENT = "11111111-1111-4111-8111-111111111111"


@pytest.mark.parametrize(
    ("body", "field", "problem"),
    [
        ('{"agentId": "x", "message": "oi"}', "agentId", "Expected a UUID"),
        (
            f'{{"agentId": "{AGENT}", "message": "oi", "conversationId": "a b"}}',
            "conversationId",
            "Expected 1 to 64 letters, digits, _ or -",
        ),
        (f'{{"agentId": "{AGENT}", "message": "oi", "priority": 11}}', "priority", "Expected `int` <= 10"),
        ("[]", "", "Expected `object`, got `array`"),
    ],
)
def test_a_complaint_names_the_field_and_says_in_words_what_it_takes(body: str, field: str, problem: str) -> None:
    """No client has to read a regular expression."""
    with pytest.raises(InvalidInput) as refused:
        parse_submission(body.encode())
    assert refused.value.details == [{"field": field, "problem": problem}]
