"""The errors for messages that are not valid."""

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
def test_error_names_the_field_and_describes_the_valid_value(body: str, field: str, problem: str) -> None:
    """The error has no regular expression."""
    with pytest.raises(InvalidInput) as caught:
        parse_submission(body.encode())
    assert caught.value.details == [{"field": field, "problem": problem}]
