"""The small language of `assert` and `wait`: `waiting<100 and age(p1)<30s and failed_rate<5%`.

    expression = comparison { ("and" | "or") comparison }       `and` binds closer than `or`; no parentheses
    comparison = name ( "<" | "<=" | ">" | ">=" | "==" | "!=" ) number
    number     = digits [ "." digits ] [ "%" | "s" | "m" | "h" | "d" ]

Names: waiting, active, completed, failed (or dlq), delayed, paused, total, backlog (what is not over),
failed_rate (failed of total), workers, subscribers, undelivered, and age(p1) … age(p10) and age(any), the seconds
that the head of a queue has waited. It looks only at what has a bounded cost.
"""

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from msgctl.errors import InvalidInput
from msgctl.messages import PRIORITIES, Record

COMPARISON = re.compile(r"\s*([a-z_]+(?:\(\w+\))?)\s*(<=|>=|==|!=|<|>)\s*(\d+(?:\.\d+)?)(%|s|m|h|d)?\s*")
SINGLE = re.compile(r"(?<![<>=!])=(?!=)")
UNITS = {"": 1.0, "%": 0.01, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
COUNTS = ("waiting", "active", "completed", "failed", "delayed", "paused", "total")
NAMES = (
    *COUNTS,
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
    sign: str
    number: float


class Finding(Record, kw_only=True, frozen=True):
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

    def judge(self, values: Mapping[str, float]) -> tuple[bool, list[Finding]]:
        """Whether it holds, and each comparison's own verdict."""
        groups = [[_judge(one, values) for one in part] for part in self._any_of]
        holds = any(all(finding.holds for finding in group) for group in groups)
        return holds, [finding for group in groups for finding in group]


async def measure(look: Any) -> dict[str, float]:
    """Every name's value at this moment.

    Args:
        look: the `Operations`, of a session.
    """
    stats = await look.stats()
    ages: dict[int, float] = await look.queue.oldest_waits()
    snapshot = await look.overview.read()
    values: dict[str, float] = {name: getattr(stats, name) for name in COUNTS}
    return values | {
        "dlq": stats.failed,
        "backlog": stats.waiting + stats.active + stats.delayed + stats.paused,
        "failed_rate": stats.failed / stats.total if stats.total else 0.0,
        "workers": len(snapshot.workers),
        "subscribers": await look.checkup.subscribers(),
        "undelivered": snapshot.undelivered,
        "age(any)": max(ages.values(), default=0.0),
        **{f"age(p{priority})": ages.get(priority, 0.0) for priority in PRIORITIES},
    }


def _parse(text: str) -> Comparison:
    found = COMPARISON.fullmatch(text)
    if not found:
        meant = SINGLE.sub("==", text.strip())
        hint = (
            f"did you mean {meant}?" if COMPARISON.fullmatch(meant) else "write e.g. waiting<100 or age(p1)<30s."
        )
        raise InvalidInput(f"{text.strip()!r} is no comparison; {hint}")
    name, sign, number, unit = found.groups(default="")
    if name not in NAMES:
        raise InvalidInput(f"There is no {name!r} to compare; there are {', '.join(NAMES)}.")
    return Comparison(text.strip(), name, sign, float(number) * UNITS[unit])


def _judge(comparison: Comparison, values: Mapping[str, float]) -> Finding:
    value = values[comparison.name]
    holds = OPERATORS[comparison.sign](value, comparison.number)
    return Finding(comparison=comparison.text, value=round(value, 4), holds=holds)
