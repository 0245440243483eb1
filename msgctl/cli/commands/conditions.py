"""`msgctl assert` and `msgctl wait`: a condition on the pipeline, for cron and CI."""

import asyncio
import time
from typing import Annotated

import msgspec
import typer

from msgctl.cli.framework.output import OutputFormat as ListShape
from msgctl.cli.framework.output import RecordFormat, RecordOutputOption, print_json, print_listing
from msgctl.cli.framework.session import CommandSession, run_with_session
from msgctl.domain.errors import Incomplete, TryLater
from msgctl.domain.times import parse_duration
from msgctl.operations.checks.conditions import ComparisonResult, Expression, measure_variables

CONDITION_POLL_INTERVAL_S = 0.5
COLUMNS = {"comparison": "comparison", "value": "value", "holds": "holds"}

ConditionArgument = Annotated[str, typer.Argument(metavar="EXPR", help="e.g. 'waiting<100 and age(p1)<30s'")]


def check(
    context: typer.Context, expression: ConditionArgument, output: RecordOutputOption = RecordFormat.TABLE
) -> None:
    """Exit 0 if a condition holds, 4 if not.

    Names: waiting active completed failed (dlq) delayed paused total backlog failed_rate workers subscribers
    undelivered age(p1)…age(p10) age(any). Signs: < <= > >= == !=. Units: % s m h d. `and` binds closer than `or`.

    Example: msgctl assert 'waiting<100 and age(p1)<30s and failed_rate<5%'
    """
    parsed = Expression(expression)
    holds, findings = run_with_session(context, lambda session: _evaluate(session, parsed))
    _print_results(holds, findings, output)
    if not holds:
        raise Incomplete(f"It does not hold: {_describe_failed(findings)}.")


def wait(
    context: typer.Context,
    expression: ConditionArgument,
    *,
    timeout: Annotated[str, typer.Option(metavar="DURATION", help="How long at most.")] = "5m",
    output: RecordOutputOption = RecordFormat.TABLE,
) -> None:
    """Return once a condition holds; exit 75 if it does not in time. The expression is that of `msgctl assert`.

    Example: msgctl wait 'dlq==0 and backlog==0' --timeout 5m
    """
    parsed, patience = Expression(expression), parse_duration(timeout)

    async def body(session: CommandSession) -> tuple[bool, list[ComparisonResult]]:
        deadline = time.monotonic() + patience
        while True:
            holds, findings = await _evaluate(session, parsed)
            if holds or time.monotonic() > deadline:
                return holds, findings
            await asyncio.sleep(CONDITION_POLL_INTERVAL_S)

    holds, findings = run_with_session(context, body)
    _print_results(holds, findings, output)
    if not holds:
        raise TryLater(f"After {patience:g} s it does not hold: {_describe_failed(findings)}.")


async def _evaluate(session: CommandSession, expression: Expression) -> tuple[bool, list[ComparisonResult]]:
    context = session.context
    return expression.evaluate(await measure_variables(context))


def _print_results(holds: bool, findings: list[ComparisonResult], output: RecordFormat) -> None:
    records = msgspec.to_builtins(findings)
    if output is RecordFormat.JSON:
        print_json({"schema": "msgctl.condition/1", "holds": holds, "comparisons": records})
    else:
        print_listing(records, ListShape.TABLE, schema="msgctl.comparison/1", columns=COLUMNS, key="comparison")


def _describe_failed(findings: list[ComparisonResult]) -> str:
    return "; ".join(f"{one.comparison} (it is {one.value:g})" for one in findings if not one.holds)
