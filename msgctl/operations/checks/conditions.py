"""The conditions of `assert` and `wait`: `waiting<100 and age(p1)<30s and failed_rate<5%`.

    expression = comparison { ("and" | "or") comparison }       `and` binds closer than `or`; no parentheses
    comparison = name ( "<" | "<=" | ">" | ">=" | "==" | "!=" ) value
    value      = number | number "%" | duration       `5`, `2.5%`, `30s`, `1h30m`

Names: waiting, active, completed, failed (or dlq), delayed, paused, total, backlog (messages that have not ended),
failed_rate (failed of total), workers, subscribers, undelivered, and age(p1) … age(p10) and age(any), the seconds
for which the head of a queue has waited. Only `failed_rate` accepts a percentage, and only an age accepts a
duration. Every name accepts a number. The cost of reading a variable does not grow with the queue.
"""

import operator
import re
from collections.abc import Callable, Mapping
from contextlib import suppress

import msgspec

from msgctl.domain.errors import InvalidInput
from msgctl.domain.messages import PRIORITIES, WireStruct
from msgctl.domain.times import parse_duration
from msgctl.operations.checks.health import HealthCheck
from msgctl.operations.context import Context
from msgctl.operations.dashboard.overview import Overview

COMPARISON_PATTERN = re.compile(r"\s*([a-z_]+(?:\(\w+\))?)\s*(<=|>=|==|!=|<|>)\s*(\d[\w.]*%?)\s*")
SINGLE_EQUALS_PATTERN = re.compile(r"(?<![<>=!])=(?!=)")
OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
SHARE, AGE = "failed_rate", "age("
"""The only name that is a ratio, and the prefix of the names that are durations."""
COUNT_NAMES = ("waiting", "active", "completed", "failed", "delayed", "paused", "total")
VARIABLE_NAMES = (
    *COUNT_NAMES,
    "dlq",
    "backlog",
    "failed_rate",
    "workers",
    "subscribers",
    "undelivered",
    "age(any)",
    *(f"age(p{priority})" for priority in PRIORITIES),
)


class Comparison(msgspec.Struct, frozen=True):
    """One parsed comparison, and its text as it was typed."""

    text: str
    name: str
    operator: str
    number: float


class ComparisonResult(WireStruct, kw_only=True, frozen=True):
    """The result of one comparison."""

    comparison: str
    value: float
    holds: bool


class Expression:
    """A parsed expression.

    Args:
        text: the expression as it was typed.

    Raises:
        InvalidInput: it is not an expression. The error names the invalid part.
    """

    def __init__(self, text: str) -> None:
        self._any_of = [
            [_parse(comparison) for comparison in re.split(r"\band\b", group)]
            for group in re.split(r"\bor\b", text)
        ]

    def evaluate(self, values: Mapping[str, float]) -> tuple[bool, list[ComparisonResult]]:
        """Return whether it holds, and the result of each comparison."""
        groups = [[_evaluate(comparison, values) for comparison in group] for group in self._any_of]
        holds = any(all(result.holds for result in group) for group in groups)
        return holds, [result for group in groups for result in group]


async def measure_variables(context: Context) -> dict[str, float]:
    """Return the present value of every name."""
    stats = await context.queue.stats()
    ages: dict[int, float] = await context.queue.oldest_waits()
    snapshot = await context.get(Overview).read()
    values: dict[str, float] = {name: getattr(stats, name) for name in COUNT_NAMES}
    return values | {
        "dlq": stats.failed,
        "backlog": stats.waiting + stats.active + stats.delayed + stats.paused,
        "failed_rate": stats.failed / stats.total if stats.total else 0.0,
        "workers": len(snapshot.workers),
        "subscribers": await context.get(HealthCheck).count_subscribers(),
        "undelivered": snapshot.undelivered,
        "age(any)": max(ages.values(), default=0.0),
        **{f"age(p{priority})": ages.get(priority, 0.0) for priority in PRIORITIES},
    }


def _parse(text: str) -> Comparison:
    text = text.strip()
    parts = _split(text)
    if parts is None:
        corrected = SINGLE_EQUALS_PATTERN.sub("==", text)
        hint = f"did you mean {corrected}?" if _split(corrected) else "write e.g. waiting<100 or age(p1)<30s."
        raise InvalidInput(f"{text!r} is not a comparison; {hint}")
    name, sign, value = parts
    if name not in VARIABLE_NAMES:
        raise InvalidInput(f"There is no variable {name!r}. The variables are {', '.join(VARIABLE_NAMES)}.")
    return Comparison(text, name, sign, _read_value(name, value))


def _split(text: str) -> tuple[str, str, str] | None:
    """Return name, sign, and value of a comparison. None: it is not a comparison."""
    match = COMPARISON_PATTERN.fullmatch(text)
    if not match:
        return None
    name, sign, value = match.groups()
    with suppress(InvalidInput):
        parse_duration(value.removesuffix("%"))
        return None if value[-2:-1].isalpha() and value.endswith("%") else (name, sign, value)
    return None


def _read_value(name: str, text: str) -> float:
    """Return the number that `name` is compared with.

    Raises:
        InvalidInput: its unit does not fit the variable.
    """
    example = f"write e.g. {name}<{'5%' if name == SHARE else '30s' if name.startswith(AGE) else '5'}."
    if text.endswith("%"):
        if name != SHARE:
            raise InvalidInput(f"{name} is not a ratio, so {text} does not fit it; {example}")
        return float(text.removesuffix("%")) / 100
    if text[-1].isalpha() and not name.startswith(AGE):
        raise InvalidInput(f"{name} is not a duration, so {text} does not fit it; {example}")
    return parse_duration(text)


def _evaluate(comparison: Comparison, values: Mapping[str, float]) -> ComparisonResult:
    value = values[comparison.name]
    holds = OPERATORS[comparison.operator](value, comparison.number)
    return ComparisonResult(comparison=comparison.text, value=round(value, 4), holds=holds)
