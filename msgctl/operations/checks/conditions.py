"""The small language of `assert` and `wait`: `waiting<100 and age(p1)<30s and failed_rate<5%`.

    expression = comparison { ("and" | "or") comparison }       `and` binds closer than `or`; no parentheses
    comparison = name ( "<" | "<=" | ">" | ">=" | "==" | "!=" ) value
    value      = number | number "%" | duration       `5`, `2.5%`, `30s`, `1h30m`

Names: waiting, active, completed, failed (or dlq), delayed, paused, total, backlog (what is not over),
failed_rate (failed of total), workers, subscribers, undelivered, and age(p1) … age(p10) and age(any), the seconds
that the head of a queue has waited. A percentage fits `failed_rate` alone and a duration fits an age alone; a bare
number fits all. It looks only at what has a bounded cost.
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
"""The name of the only share, and how the names of times begin."""
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
    """One of them, as it was typed and as it is judged."""

    text: str
    name: str
    operator: str
    number: float


class ComparisonResult(WireStruct, kw_only=True, frozen=True):
    """What one comparison came to."""

    comparison: str
    value: float
    holds: bool


class Expression:
    """A parsed expression.

    Args:
        text: as it was typed.

    Raises:
        InvalidInput: it is none; the text names what is not understood.
    """

    def __init__(self, text: str) -> None:
        self._any_of = [[_parse(one) for one in re.split(r"\band\b", part)] for part in re.split(r"\bor\b", text)]

    def evaluate(self, values: Mapping[str, float]) -> tuple[bool, list[ComparisonResult]]:
        """Whether it holds, and each comparison's own verdict."""
        groups = [[_evaluate(one, values) for one in part] for part in self._any_of]
        holds = any(all(finding.holds for finding in group) for group in groups)
        return holds, [finding for group in groups for finding in group]


async def measure_variables(context: Context) -> dict[str, float]:
    """Every name's value at this moment.

    Args:
        context: the running pipeline.
    """
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
        meant = SINGLE_EQUALS_PATTERN.sub("==", text)
        hint = f"did you mean {meant}?" if _split(meant) else "write e.g. waiting<100 or age(p1)<30s."
        raise InvalidInput(f"{text!r} is no comparison; {hint}")
    name, sign, value = parts
    if name not in VARIABLE_NAMES:
        raise InvalidInput(f"There is no {name!r} to compare; there are {', '.join(VARIABLE_NAMES)}.")
    return Comparison(text, name, sign, _read_value(name, value))


def _split(text: str) -> tuple[str, str, str] | None:
    """Split a comparison into its name, its sign and its value; None if it is not one."""
    found = COMPARISON_PATTERN.fullmatch(text)
    if not found:
        return None
    name, sign, value = found.groups()
    with suppress(InvalidInput):
        parse_duration(value.removesuffix("%"))
        return None if value[-2:-1].isalpha() and value.endswith("%") else (name, sign, value)
    return None


def _read_value(name: str, text: str) -> float:
    """Read the value that `name` is compared with.

    Raises:
        InvalidInput: its unit does not fit what the name measures.
    """
    example = f"write e.g. {name}<{'5%' if name == SHARE else '30s' if name.startswith(AGE) else '5'}."
    if text.endswith("%"):
        if name != SHARE:
            raise InvalidInput(f"{name} is not a share, so {text} does not fit it; {example}")
        return float(text.removesuffix("%")) / 100
    if text[-1].isalpha() and not name.startswith(AGE):
        raise InvalidInput(f"{name} is not a time, so {text} does not fit it; {example}")
    return parse_duration(text)


def _evaluate(comparison: Comparison, values: Mapping[str, float]) -> ComparisonResult:
    value = values[comparison.name]
    holds = OPERATORS[comparison.operator](value, comparison.number)
    return ComparisonResult(comparison=comparison.text, value=round(value, 4), holds=holds)
