"""`msgctl dlq replay`: replay dead letters by id, by query, or from a plan, with a rate limit and a canary."""

import asyncio
import codecs
import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from msgctl.cli.framework.bulk import BulkAction, bulk_command, outcome_records
from msgctl.cli.framework.options import OutputFormat, RateOption
from msgctl.cli.framework.output import print_listing, print_note
from msgctl.cli.framework.progress import progress_bar
from msgctl.cli.framework.query import is_unrestricted, no_such_message, query_to_record
from msgctl.cli.framework.session import CommandSession, run_with_session
from msgctl.domain.errors import Incomplete, InvalidInput, MsgctlError, Refused
from msgctl.domain.messages import State
from msgctl.domain.plural import pluralize
from msgctl.operations.dead_letters.replay import BulkReplay, ReplayPacing, ReplayPlan, SkippedReplay
from msgctl.operations.messages.query import Query

RATE_PATTERN = re.compile(r"(\d+(?:\.\d+)?)(?:/(s|m))?")
PERCENTAGE_PATTERN = re.compile(r"(\d+(?:\.\d+)?)%")
COLUMNS = {"messageId": "id", "outcome": "outcome", "why": "why"}
SUCCESSFUL_OUTCOMES = {"replayed", "would_replay"}
OUTCOME_BY_SKIP_REASON = {"missing": "missing", "already_answered": "not_failed", "in_play": "not_failed"}
"""Skip reasons that the replay script reports too, under its own names. All others are `skipped`."""
MAX_SHOWN_OUTCOMES = 100
"""Maximum number of rows in a table."""


@bulk_command(state=State.FAILED)
def replay(
    context: typer.Context,
    query: Query,
    action: BulkAction,
    *,
    plan: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Replay a saved plan, or the rest of one.")
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Write the plan to this file, and replay nothing.")] = None,
    rate: RateOption = None,
    canary: Annotated[
        int, typer.Option(min=0, max=1000, help="Replay this many first. Continue only if they are answered.")
    ] = 0,
    stop_on_errors: Annotated[
        str | None, typer.Option(metavar="N%", help="Stop if more than this share fails again.")
    ] = None,
) -> None:
    """Replay dead letters with a fresh attempt budget, at the head of their conversations.

    Each keeps its id and history. A reply that n8n gave, and that was committed too late, is delivered without
    calling n8n again. Ctrl-C stops between two batches and prints the command that continues.
    """
    ids = action.ids
    if plan and (ids or action.every or action.limit or not is_unrestricted(query)):
        raise InvalidInput("A plan selects its messages. Leave out ids, --all, --limit, and the query.")
    pacing = ReplayPacing(
        messages_per_second=parse_rate(rate),
        canary_count=canary,
        max_failure_ratio=_parse_percentage(stop_on_errors),
    )

    async def body(session: CommandSession) -> tuple[list[dict[str, Any]], MsgctlError | None]:
        current = _read_plan(plan) if plan else await _make_plan(session, query, action)
        if save:
            _write_plan(save, current)
            print_note(
                f"{len(current.replay)} to replay, {len(current.skip)} to skip. "
                f"Replay them: msgctl dlq replay --plan {save}"
            )
            return _records({}, current.skip), None
        if action.dry_run:
            return _records(dict.fromkeys(current.replay, "would_replay"), current.skip), None
        if not ids:
            skipped = f", {len(current.skip)} skipped" if current.skip else ""
            action.confirm(f"{pluralize(len(current.replay), 'dead letter')} will be replayed{skipped}.")
        return await _run_plan(session, current, pacing, query, action)

    outcomes, fault = run_with_session(context, body)
    if ids:
        outcomes.sort(key=lambda record: ids.index(record["messageId"]))
    _print_outcomes(outcomes, action, is_saved=bool(save))
    if fault:
        raise fault
    if not (action.dry_run or save):
        _raise_for_skipped(outcomes)


async def _make_plan(session: CommandSession, query: Query, action: BulkAction) -> ReplayPlan:
    gone: list[str] = []
    found = await action.select(session, query, limit=action.limit, gone=gone)
    conditions = {} if is_unrestricted(query) else query_to_record(query)
    return await session.context.get(BulkReplay).plan(
        found, session.agents, named=action.ids or (), query=conditions, gone=gone
    )


async def _run_plan(
    session: CommandSession, plan: ReplayPlan, pacing: ReplayPacing, query: Query, action: BulkAction
) -> tuple[list[dict[str, Any]], MsgctlError | None]:
    outcomes: dict[str, str] = {}
    fault: MsgctlError | None = None
    try:
        with progress_bar("Replaying", len(plan.replay)) as advance:
            async for batch in session.context.get(BulkReplay).run(plan.replay, pacing, passed=_report_canary):
                outcomes.update((result.message_id, result.outcome) for result in batch)
                advance(len(batch))
    except asyncio.CancelledError:
        await asyncio.shield(_record_replay(session, outcomes, query, action))
        _save_remaining_plan(plan, outcomes)
        raise
    except Incomplete as stopped:
        fault = stopped
    await _record_replay(session, outcomes, query, action)
    if fault:
        _save_remaining_plan(plan, outcomes)
    return _records(outcomes, plan.skip), fault


async def _record_replay(
    session: CommandSession, outcomes: dict[str, str], query: Query, action: BulkAction
) -> None:
    replayed = [message_id for message_id, outcome in outcomes.items() if outcome == "replayed"]
    if replayed:
        await action.record(session, "dlq replay", replayed, query, before="failed", after="waiting")


def _save_remaining_plan(plan: ReplayPlan, outcomes: dict[str, str]) -> None:
    left = [message_id for message_id in plan.replay if message_id not in outcomes]
    if not left:
        return
    file = Path(f"replay-{time.strftime('%Y%m%dT%H%M%S')}.json")
    _write_plan(file, msgspec.structs.replace(plan, replay=left))
    print_note(f"{len(outcomes)} replayed, {len(left)} left. Continue: msgctl dlq replay --plan {file}")


def _report_canary(answered: int, canary: int, left: int) -> None:
    rest = f" The other {left} follow." if left else ""
    print_note(f"The canary passed: {answered} of {canary} answered.{rest}")


def _summarize(outcomes: list[dict[str, Any]]) -> str:
    count = sum(record["outcome"] in SUCCESSFUL_OUTCOMES for record in outcomes)
    skipped = f", {len(outcomes) - count} skipped" if len(outcomes) > count else ""
    return f"{count} would be replayed{skipped}; nothing was done."


def _write_plan(file: Path, plan: ReplayPlan) -> None:
    try:
        file.write_bytes(msgspec.json.format(plan.to_json()) + b"\n")
    except OSError as error:
        raise Refused(f"Cannot write {file}: {error.strerror}.") from error


def _read_plan(file: Path) -> ReplayPlan:
    try:
        return msgspec.json.decode(file.read_bytes().removeprefix(codecs.BOM_UTF8), type=ReplayPlan)
    except (msgspec.MsgspecError, OSError) as error:
        raise InvalidInput(f"{file} is not a plan of `dlq replay --save`: {error}") from None


def _records(outcomes: Mapping[str, str], skipped: Iterable[SkippedReplay]) -> list[dict[str, Any]]:
    return outcome_records(outcomes) + [
        {
            "messageId": skip.message_id,
            "outcome": OUTCOME_BY_SKIP_REASON.get(skip.reason, "skipped"),
            "reason": skip.reason,
            "why": skip.text,
        }
        for skip in skipped
    ]


def _print_outcomes(outcomes: list[dict[str, Any]], action: BulkAction, *, is_saved: bool) -> None:
    output = action.output
    if output is OutputFormat.TABLE and is_saved and not outcomes:
        return
    if output is OutputFormat.IDS:
        outcomes = [record for record in outcomes if record["outcome"] in SUCCESSFUL_OUTCOMES]
    shown = outcomes
    if output is OutputFormat.TABLE and len(outcomes) > MAX_SHOWN_OUTCOMES:
        counts = Counter(record["outcome"] for record in outcomes)
        print_note(", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
        shown = sorted(outcomes, key=lambda record: record["outcome"] in SUCCESSFUL_OUTCOMES)[:MAX_SHOWN_OUTCOMES]
        print_note(f"Shown: {len(shown)} of {len(outcomes)}, skipped messages first. -o json prints all.")
    print_listing(shown, output, schema="msgctl.replay/1", columns=COLUMNS, key="messageId")
    if output is OutputFormat.TABLE and action.dry_run and not is_saved:
        print_note(_summarize(outcomes))


def _raise_for_skipped(outcomes: list[dict[str, Any]]) -> None:
    skipped = [record for record in outcomes if record["outcome"] != "replayed"]
    if skipped and all(record["outcome"] == "missing" for record in outcomes):
        raise no_such_message(*(record["messageId"] for record in outcomes))
    if skipped:
        raise Incomplete(f"{len(skipped)} of {len(outcomes)} messages were not replayed.")


def parse_rate(text: str | None) -> float | None:
    """Return the messages per second of a rate such as `5/s` or `90/m`.

    Raises:
        InvalidInput: the text is not a rate.
    """
    match = RATE_PATTERN.fullmatch(text or "")
    if text and (not match or not float(match[1])):
        raise InvalidInput(f"{text!r} is not a rate. Write 5/s or 90/m.")
    return float(match[1]) / (60 if match[2] == "m" else 1) if match else None


def _parse_percentage(text: str | None) -> float | None:
    match = PERCENTAGE_PATTERN.fullmatch(text or "")
    if text and not match:
        raise InvalidInput(f"{text!r} is not a percentage. Write 20%.")
    return float(match[1]) / 100 if match else None
