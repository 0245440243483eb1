"""`msgctl dlq replay`: by id, by query or by a plan; dry, paced, with a canary, and to be taken up again."""

import asyncio
import re
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from msgctl.cli.framework.audit import record_action
from msgctl.cli.framework.confirm import confirm
from msgctl.cli.framework.output import OutputFormat, OutputOption, print_listing, print_note
from msgctl.cli.framework.progress import progress_bar
from msgctl.cli.framework.query import (
    AllOption,
    DryRunOption,
    IdsArgument,
    LimitOption,
    ReasonOption,
    YesOption,
    is_unrestricted,
    no_such_message,
    query_to_record,
    select_messages,
)
from msgctl.cli.framework.session import CommandSession, run_with_session
from msgctl.domain.errors import Incomplete, InvalidInput, MsgctlError, Refused
from msgctl.domain.plural import pluralize
from msgctl.operations.dead_letters.replay import BulkReplay, ReplayPacing, ReplayPlan, SkippedReplay
from msgctl.operations.messages.query import Query

RATE_PATTERN = re.compile(r"(\d+(?:\.\d+)?)(?:/(s|m))?")
PERCENTAGE_PATTERN = re.compile(r"(\d+(?:\.\d+)?)%")
COLUMNS = {"messageId": "id", "outcome": "outcome", "why": "why"}
SUCCESSFUL_OUTCOMES = {"replayed", "would_replay"}
MAX_SHOWN_OUTCOMES = 100
"""Outcomes a table shows at most."""


def replay(
    context: typer.Context,
    query: Query,
    ids: IdsArgument = None,
    *,
    every: AllOption = False,
    limit: LimitOption = None,
    plan: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Carry out a plan, or what is left of it.")
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Write the plan into this file and do nothing else.")] = None,
    rate: Annotated[str | None, typer.Option(metavar="N/s", help="At most so many a second: 5/s, 90/m.")] = None,
    canary: Annotated[
        int, typer.Option(min=0, max=1000, help="Replay so many first; go on only if they are answered.")
    ] = 0,
    stop_on_errors: Annotated[
        str | None, typer.Option(metavar="N%", help="Stop when more of them than that fail again.")
    ] = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    reason: ReasonOption = "",
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Put dead letters back to work with a fresh budget, at the head of their conversations.

    Each keeps its id and history. A reply that n8n gave and whose commit came too late is delivered, not asked for
    again. Ctrl-C stops between two batches and says how to go on.
    """
    if plan and (ids or every or limit or not is_unrestricted(query)):
        raise InvalidInput("A plan says already which ones: leave out ids, --all, --limit and the query.")
    pace = ReplayPacing(
        messages_per_second=parse_rate(rate),
        canary_count=canary,
        max_failure_ratio=_parse_percentage(stop_on_errors),
    )

    async def body(session: CommandSession) -> tuple[list[dict[str, Any]], MsgctlError | None]:
        made = _read_plan(plan) if plan else await _make_plan(session, ids, query, every=every, limit=limit)
        if save:
            _write_plan(save, made)
            print_note(
                f"{len(made.replay)} to replay, {len(made.skip)} to skip. Do it: msgctl dlq replay --plan {save}"
            )
            return [_skipped_outcome(skip) for skip in made.skip], None
        if dry_run:
            return [*_same_outcome(made.replay, "would_replay"), *map(_skipped_outcome, made.skip)], None
        if not ids:
            skipped = f", {len(made.skip)} skipped" if made.skip else ""
            question = f"{pluralize(len(made.replay), 'dead letter')} will be replayed{skipped}."
            confirm(question, yes=yes, machine=output is not OutputFormat.TABLE)
        return await _run_plan(session, made, pace, query, reason)

    outcomes, fault = run_with_session(context, body)
    if ids:
        outcomes.sort(key=lambda one: ids.index(one["messageId"]))
    _print_outcomes(outcomes, output, silent=bool(save))
    if dry_run and not save and output is OutputFormat.TABLE:
        print_note(_summarize(outcomes))
    if fault:
        raise fault
    if not (dry_run or save):
        _raise_for_skipped(outcomes)


async def _make_plan(
    session: CommandSession, ids: list[str] | None, query: Query, *, every: bool, limit: int | None
) -> ReplayPlan:
    gone: list[str] = []
    found = await select_messages(session, ids, query, every=every, limit=limit, gone=gone)
    asked = {} if is_unrestricted(query) else query_to_record(query)
    return await session.context.get(BulkReplay).plan(
        found, session.agents, named=ids or (), query=asked, gone=gone
    )


async def _run_plan(
    session: CommandSession, plan: ReplayPlan, pacing: ReplayPacing, query: Query, reason: str
) -> tuple[list[dict[str, Any]], MsgctlError | None]:
    outcomes: dict[str, str] = {}
    fault: MsgctlError | None = None
    try:
        with progress_bar("Replaying", len(plan.replay)) as advance:
            async for batch in session.context.get(BulkReplay).run(plan.replay, pacing, passed=_report_canary):
                outcomes.update((one.message_id, one.outcome) for one in batch)
                advance(len(batch))
    except asyncio.CancelledError:
        await asyncio.shield(_record_replay(session, outcomes, query, reason))
        _save_remaining_plan(plan, outcomes)
        raise
    except Incomplete as stopped:
        fault = stopped
    await _record_replay(session, outcomes, query, reason)
    if fault:
        _save_remaining_plan(plan, outcomes)
    return [*(_outcome(*one) for one in outcomes.items()), *map(_skipped_outcome, plan.skip)], fault


async def _record_replay(session: CommandSession, outcomes: dict[str, str], query: Query, reason: str) -> None:
    replayed = [message_id for message_id, outcome in outcomes.items() if outcome == "replayed"]
    if replayed:
        await record_action(
            session, "dlq replay", replayed, reason=reason, query=query, before="failed", after="waiting"
        )


def _save_remaining_plan(plan: ReplayPlan, outcomes: dict[str, str]) -> None:
    left = [message_id for message_id in plan.replay if message_id not in outcomes]
    if not left:
        return
    file = Path(f"replay-{time.strftime('%Y%m%dT%H%M%S')}.json")
    _write_plan(file, msgspec.structs.replace(plan, replay=left))
    print_note(f"{len(outcomes)} replayed, {len(left)} left. Go on: msgctl dlq replay --plan {file}")


def _report_canary(answered: int, canary: int, left: int) -> None:
    rest = f" The other {left} follow." if left else ""
    print_note(f"The canary passed: {answered} of {canary} answered.{rest}")


def _summarize(outcomes: list[dict[str, Any]]) -> str:
    good = sum(one["outcome"] in SUCCESSFUL_OUTCOMES for one in outcomes)
    skipped = f", {len(outcomes) - good} skipped" if len(outcomes) > good else ""
    return f"{good} would be replayed{skipped}; nothing was done."


def _write_plan(file: Path, plan: ReplayPlan) -> None:
    try:
        file.write_bytes(msgspec.json.format(plan.to_json()) + b"\n")
    except OSError as error:
        raise Refused(f"Cannot write {file}: {error.strerror}.") from error


def _read_plan(file: Path) -> ReplayPlan:
    try:
        return msgspec.json.decode(file.read_bytes(), type=ReplayPlan)
    except (msgspec.MsgspecError, OSError) as error:
        raise InvalidInput(f"{file} is no plan of `dlq replay --save`: {error}") from None


def _outcome(message_id: str, outcome: str) -> dict[str, Any]:
    return {"messageId": message_id, "outcome": outcome}


def _same_outcome(ids: list[str], outcome: str) -> list[dict[str, Any]]:
    return [_outcome(message_id, outcome) for message_id in ids]


def _skipped_outcome(skip: SkippedReplay) -> dict[str, Any]:
    """The two outcomes that REPLAY itself tells keep its words."""
    outcome = {"missing": "missing", "already_answered": "not_failed", "in_play": "not_failed"}
    return {
        "messageId": skip.message_id,
        "outcome": outcome.get(skip.reason, "skipped"),
        "reason": skip.reason,
        "why": skip.text,
    }


def _print_outcomes(outcomes: list[dict[str, Any]], output: OutputFormat, *, silent: bool) -> None:
    """Print what became of each; `silent` says nothing, on a terminal, of there being none."""
    if silent and not outcomes and output is OutputFormat.TABLE:
        return
    if output is OutputFormat.IDS:
        outcomes = [one for one in outcomes if one["outcome"] in SUCCESSFUL_OUTCOMES]
    shown = outcomes
    if output is OutputFormat.TABLE and len(outcomes) > MAX_SHOWN_OUTCOMES:
        counts = Counter(one["outcome"] for one in outcomes)
        print_note(", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
        shown = sorted(outcomes, key=lambda one: one["outcome"] in SUCCESSFUL_OUTCOMES)[:MAX_SHOWN_OUTCOMES]
        print_note(f"{len(shown)} of {len(outcomes)}, those left alone first; -o json has all.")
    print_listing(shown, output, schema="msgctl.replay/1", columns=COLUMNS, key="messageId")


def _raise_for_skipped(outcomes: list[dict[str, Any]]) -> None:
    skipped = [outcome for outcome in outcomes if outcome["outcome"] != "replayed"]
    if skipped and all(outcome["outcome"] == "missing" for outcome in outcomes):
        raise no_such_message(*(outcome["messageId"] for outcome in outcomes))
    if skipped:
        raise Incomplete(f"{len(skipped)} of {len(outcomes)} were not replayed.")


def parse_rate(text: str | None) -> float | None:
    """Messages a second in `5/s`, `90/m`.

    Raises:
        InvalidInput: it is none of these.
    """
    found = RATE_PATTERN.fullmatch(text or "")
    if text and (not found or not float(found[1])):
        raise InvalidInput(f"{text!r} is no rate; write 5/s or 90/m.")
    return float(found[1]) / (60 if found[2] == "m" else 1) if found else None


def _parse_percentage(text: str | None) -> float | None:
    found = PERCENTAGE_PATTERN.fullmatch(text or "")
    if text and not found:
        raise InvalidInput(f"{text!r} is no share; write 20%.")
    return float(found[1]) / 100 if found else None
