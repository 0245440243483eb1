"""The conditions of `assert` and `wait`."""

import pytest

from msgctl.domain.errors import InvalidInput
from msgctl.operations.checks.conditions import VARIABLE_NAMES, Expression

ZEROS = dict.fromkeys(VARIABLE_NAMES, 0.0)


@pytest.mark.parametrize(
    ("text", "values", "holds"),
    [
        ("waiting<100", {"waiting": 99}, True),
        ("waiting<100", {"waiting": 100}, False),
        ("failed_rate<5%", {"failed_rate": 0.049}, True),
        ("failed_rate<2.5%", {"failed_rate": 0.025}, False),
        ("failed_rate<0.05", {"failed_rate": 0.049}, True),
        ("failed_rate==57%", {"failed_rate": 0.57}, True),
        ("age(p1)<30", {"age(p1)": 29}, True),
        ("age(p1)<30s", {"age(p1)": 30}, False),
        ("age(any) <= 1h30m", {"age(any)": 5400}, True),
        ("age(any)<1w", {"age(any)": 604_800}, False),
        ("dlq==1 and waiting<9 or workers>5", {"dlq": 2, "workers": 6}, True),
    ],
)
def test_condition_compares_each_variable_with_its_value(text: str, values: dict[str, float], holds: bool) -> None:
    """All variables take numbers, the ratio takes percentages, and the ages take durations."""
    assert Expression(text).evaluate(ZEROS | values)[0] is holds


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("waiting<5%", "waiting is not a ratio, so 5% does not fit it; write e.g. waiting<5."),
        ("age(p1)<5%", "age(p1) is not a ratio, so 5% does not fit it; write e.g. age(p1)<30s."),
        ("waiting<5m", "waiting is not a duration, so 5m does not fit it; write e.g. waiting<5."),
        (
            "failed_rate<1h30m",
            "failed_rate is not a duration, so 1h30m does not fit it; write e.g. failed_rate<5%.",
        ),
        ("load<1", "There is no variable 'load'"),
        ("waiting=5", "did you mean waiting==5?"),
        ("waiting<1.2.3", "'waiting<1.2.3' is not a comparison; write e.g."),
        ("age(p1)<5y", "'age(p1)<5y' is not a comparison; write e.g."),
        ("failed_rate<5s%", "'failed_rate<5s%' is not a comparison; write e.g."),
        ("waiting", "'waiting' is not a comparison; write e.g."),
    ],
)
def test_invalid_condition_is_refused(text: str, error: str) -> None:
    """The error names the invalid part and shows an example."""
    with pytest.raises(InvalidInput) as refused:
        Expression(text)
    assert error in str(refused.value)
