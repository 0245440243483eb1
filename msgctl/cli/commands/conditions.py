"""`msgctl assert` and `msgctl wait`: conditions on the pipeline, for cron and CI."""

import asyncio
import time
from typing import Annotated

import msgspec
import typer

from msgctl.cli.framework.options import OutputFormat, RecordFormat, RecordOutputOption, TimeoutOption
from msgctl.cli.framework.output import print_json, print_listing
from msgctl.cli.framework.session import CommandSession, run_with_session
from msgctl.domain.errors import Incomplete, TryLater
from msgctl.domain.times import parse_duration
from msgctl.operations.checks.conditions import ComparisonResult, Expression, measure_variables

CONDITION_POLL_INTERVAL_S = 0.5
COLUMNS = {"comparison": "comparison", "value": "value", "holds": "holds"}

ConditionArgument = Annotated[
    str, typer.Argument(metavar="EXPR", help="The condition, e.g. 'waiting<100 and age(p1)<30s'")
]


def check(
    context: typer.Context, expression: ConditionArgument, output: RecordOutputOption = RecordFormat.TABLE
) -> None:
    """Exit with code 0 if a condition holds, with 4 if not.

    Names: waiting active completed failed (dlq) delayed paused total backlog failed_rate workers subscribers
    undelivered age(p1)…age(p10) age(any). Operators: < <= > >= == !=. Units: % s m h d. `and` binds
    tighter than `or`.

    Example: msgctl assert 'waiting<100 and age(p1)<30s and failed_rate<5%'
    """
    parsed = Expression(expression)
    holds, comparisons = run_with_session(context, lambda session: _evaluate(session, parsed))
    _print_results(holds, comparisons, output)
    if not holds:
        raise Incomplete(f"The condition does not hold: {_describe_failed(comparisons)}.")


def wait(
    context: typer.Context,
    expression: ConditionArgument,
    *,
    timeout: TimeoutOption = "5m",
    output: RecordOutputOption = RecordFormat.TABLE,
) -> None:
    """Wait until a condition of `msgctl assert` holds. Exit code 75 if it does not hold in time.

    Example: msgctl wait 'dlq==0 and backlog==0' --timeout 5m
    """
    parsed, timeout_s = Expression(expression), parse_duration(timeout)

    async def body(session: CommandSession) -> tuple[bool, list[ComparisonResult]]:
        deadline = time.monotonic() + timeout_s
        while True:
            holds, comparisons = await _evaluate(session, parsed)
            if holds or time.monotonic() > deadline:
                return holds, comparisons
            await asyncio.sleep(CONDITION_POLL_INTERVAL_S)

    holds, comparisons = run_with_session(context, body)
    _print_results(holds, comparisons, output)
    if not holds:
        raise TryLater(f"The condition does not hold after {timeout_s:g} s: {_describe_failed(comparisons)}.")


async def _evaluate(session: CommandSession, expression: Expression) -> tuple[bool, list[ComparisonResult]]:
    return expression.evaluate(await measure_variables(session.context))


def _print_results(holds: bool, comparisons: list[ComparisonResult], output: RecordFormat) -> None:
    records = msgspec.to_builtins(comparisons)
    if output is RecordFormat.JSON:
        print_json({"schema": "msgctl.condition/1", "holds": holds, "comparisons": records})
    else:
        print_listing(records, OutputFormat.TABLE, schema="msgctl.comparison/1", columns=COLUMNS, key="comparison")


def _describe_failed(comparisons: list[ComparisonResult]) -> str:
    return "; ".join(f"{one.comparison} (it is {one.value:g})" for one in comparisons if not one.holds)
