"""`msgctl assert` and `msgctl wait`: a condition on the pipeline, for cron and CI."""

import asyncio
import time
from typing import Annotated

import msgspec
import typer

from msgctl.cli._output import RecordOutput, RecordShape, print_json, print_listing
from msgctl.cli._output import Shape as ListShape
from msgctl.cli._session import Session, run
from msgctl.durations import parse_duration
from msgctl.errors import Incomplete, TryLater
from msgctl.operations.expression import Expression, Finding, measure

LOOK_INTERVAL = 0.5
COLUMNS = {"comparison": "comparison", "value": "value", "holds": "holds"}

Condition = Annotated[str, typer.Argument(metavar="EXPR", help="e.g. 'waiting<100 and age(p1)<30s'")]


def check(context: typer.Context, expression: Condition, output: RecordOutput = RecordShape.TABLE) -> None:
    """Exit 0 if a condition holds, 4 if not.

    Names: waiting active completed failed (dlq) delayed paused total backlog failed_rate workers subscribers
    undelivered age(p1)…age(p10) age(any). Signs: < <= > >= == !=. Units: % s m h d. `and` binds closer than `or`.

    Example: msgctl assert 'waiting<100 and age(p1)<30s and failed_rate<5%'
    """
    parsed = Expression(expression)
    holds, findings = run(context, lambda session: _judge(session, parsed))
    _print(holds, findings, output)
    if not holds:
        raise Incomplete(f"It does not hold: {_broken(findings)}.")


def wait(
    context: typer.Context,
    expression: Condition,
    *,
    timeout: Annotated[str, typer.Option(metavar="DURATION", help="How long at most.")] = "5m",
    output: RecordOutput = RecordShape.TABLE,
) -> None:
    """Return once a condition holds; exit 75 if it does not in time. The expression is that of `msgctl assert`.

    Example: msgctl wait 'dlq==0 and backlog==0' --timeout 5m
    """
    parsed, patience = Expression(expression), parse_duration(timeout)

    async def body(session: Session) -> tuple[bool, list[Finding]]:
        deadline = time.monotonic() + patience
        while True:
            holds, findings = await _judge(session, parsed)
            if holds or time.monotonic() > deadline:
                return holds, findings
            await asyncio.sleep(LOOK_INTERVAL)

    holds, findings = run(context, body)
    _print(holds, findings, output)
    if not holds:
        raise TryLater(f"After {patience:g} s it does not hold: {_broken(findings)}.")


async def _judge(session: Session, expression: Expression) -> tuple[bool, list[Finding]]:
    operations = session.operations
    return expression.judge(await measure(operations))


def _print(holds: bool, findings: list[Finding], output: RecordShape) -> None:
    records = msgspec.to_builtins(findings)
    if output is RecordShape.JSON:
        print_json({"schema": "msgctl.condition/1", "holds": holds, "comparisons": records})
    else:
        print_listing(records, ListShape.TABLE, schema="msgctl.comparison/1", columns=COLUMNS, key="comparison")


def _broken(findings: list[Finding]) -> str:
    return "; ".join(f"{one.comparison} (it is {one.value:g})" for one in findings if not one.holds)
