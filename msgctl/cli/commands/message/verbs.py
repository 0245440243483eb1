"""`msgctl message list | why | wait | retry | cancel`: the verbs that look at messages and change their way."""

import asyncio
from collections import Counter
from typing import Annotated, Any

import msgspec
import typer

from msgctl.cli.framework.audit import record_action
from msgctl.cli.framework.completion import complete_ids
from msgctl.cli.framework.confirm import confirm
from msgctl.cli.framework.output import (
    OutputFormat,
    OutputOption,
    RecordFormat,
    RecordOutputOption,
    print_json,
    print_listing,
    print_note,
)
from msgctl.cli.framework.query import (
    AllOption,
    DryRunOption,
    IdsArgument,
    LimitOption,
    ReasonOption,
    YesOption,
    name_missing_message,
    no_such_message,
    select_messages,
)
from msgctl.cli.framework.session import CommandSession, run_with_session
from msgctl.cli.framework.times import format_age, format_rfc3339
from msgctl.domain.errors import Incomplete, InvalidInput, TryLater
from msgctl.domain.messages import State
from msgctl.domain.plural import pluralize
from msgctl.domain.times import parse_duration
from msgctl.operations.messages.cancel import MessageCanceller
from msgctl.operations.messages.query import Query
from msgctl.operations.messages.reply_watcher import ENDED_MESSAGE_STATES, Replies
from msgctl.operations.messages.search import SEARCH_WINDOW, MessageSearch, SearchResult
from msgctl.storage.redis.keys import queue_name

COLUMNS = {
    "messageId": "id",
    "state": "state",
    "when": "since",
    "priority": "pri",
    "channel": "channel",
    "userId": "user",
    "code": "error",
}
OUTCOME_COLUMNS = {"messageId": "id", "outcome": "outcome"}


def list_messages(
    context: typer.Context,
    query: Query,
    *,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 100,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Messages, newest first; a query looks at the newest 10,000 or so."""

    async def body(session: CommandSession) -> tuple[SearchResult, list[str]]:
        found = await session.context.get(MessageSearch).newest(query, limit)
        return found, await session.context.queue.list_paused()

    (found, paused), people = run_with_session(context, body), output is OutputFormat.TABLE
    if people and found.total > len(found.items):
        print_note(f"{len(found.items)} shown of {found.looked_at} looked at, of {found.total} in all.")
    records = []
    for item in found.items:
        columns = {"when": format_age(item.at), "code": (item.error or {}).get("code")}
        extra = columns if people else {"finishedAt": format_rfc3339(item.finished_on)}
        records.append({**item.to_record(), **extra})
    held = sum(item.state is State.WAITING and queue_name(item.priority) in paused for item in found.items)
    if people and held:
        print_note(
            f"{held} of those that wait: held by a pause, which `stats` counts apart. See: msgctl queue list"
        )
    bounds = {"total": found.total, "limit": limit, "lookedAt": found.looked_at, "window": SEARCH_WINDOW}
    print_listing(
        records, output, schema="msgctl.message-summary/1", columns=COLUMNS, key="messageId", extra=bounds
    )


def why(
    context: typer.Context,
    message_id: Annotated[str, typer.Argument(metavar="ID", help="The message.", autocompletion=complete_ids)],
    output: RecordOutputOption = RecordFormat.TABLE,
) -> None:
    """Why a message has not run yet: what stands between it and a worker."""
    from msgctl.operations.messages.wait_reasons import WaitExplainer  # noqa: PLC0415 - it imports psycopg: 0.1 s

    found = run_with_session(
        context,
        lambda session: name_missing_message(
            message_id, session.context.get(WaitExplainer).explain(message_id, session.agents)
        ),
    )
    if output is RecordFormat.JSON:
        print_json({"schema": "msgctl.explanation/1", **msgspec.to_builtins(found)})
        return
    records = [{"code": reason.code, "message": reason.message} for reason in found.reasons]
    columns = {"code": str(found.state), "message": ""}
    print_listing(records, OutputFormat.TABLE, schema="msgctl.reason/1", columns=columns, key="code")


def wait(
    context: typer.Context,
    ids: Annotated[list[str], typer.Argument(metavar="ID", help="Which.", autocompletion=complete_ids)],
    *,
    timeout: Annotated[str, typer.Option(metavar="DURATION", help="How long at most.")] = "150s",
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Wait until messages are answered or dead; exit 4 if one failed, 75 if one is not over in time."""
    patience = parse_duration(timeout)

    async def body(session: CommandSession) -> list[dict[str, Any]]:
        deadline = asyncio.get_running_loop().time() + patience
        found = await session.context.queue.find_many(ids)
        if missing := [one for one, job in zip(ids, found, strict=True) if job is None]:
            raise no_such_message(*missing)
        async with session.context.get(Replies).watch() as watch:
            return [
                await watch.wait_for_outcome(
                    job.message.conversation_id, job.message.message_id, deadline=deadline
                )
                for job in found
                if job is not None
            ]

    outcomes = run_with_session(context, body)
    columns = {"messageId": "id", "state": "state", "attempts": "attempts"}
    print_listing(outcomes, output, schema="msgctl.status/1", columns=columns, key="messageId")
    counts = Counter(outcome["state"] for outcome in outcomes)
    if late := sum(count for state, count in counts.items() if state not in ENDED_MESSAGE_STATES):
        raise TryLater(f"{late} of {len(ids)} are not over after {patience:g} s.")
    if counts[State.FAILED]:
        raise Incomplete(f"{counts[State.FAILED]} of {len(ids)} failed. See: msgctl dlq list")


def cancel(
    context: typer.Context,
    query: Query,
    ids: IdsArgument = None,
    *,
    every: AllOption = False,
    limit: LimitOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    reason: ReasonOption = "",
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """End messages that wait or are delayed; they become dead letters, their senders are told.

    `msgctl dlq replay ID` takes it back. A message that runs is left alone.
    """
    if query.state not in {None, State.WAITING, State.DELAYED}:
        raise InvalidInput(f"A message that is {query.state} cannot be cancelled.")
    outcomes = run_with_session(
        context,
        lambda session: _cancel(
            session, ids, query, every=every, limit=limit, dry_run=dry_run, yes=yes, reason=reason, output=output
        ),
    )
    print_listing(outcomes, output, schema="msgctl.cancel/1", columns=OUTCOME_COLUMNS, key="messageId")
    left = [one for one in outcomes if one["outcome"] != "cancelled"]
    if left and not dry_run:
        raise Incomplete(f"{len(left)} of {len(outcomes)} were not cancelled.")


async def _cancel(
    session: CommandSession,
    ids: list[str] | None,
    query: Query,
    *,
    every: bool,
    limit: int | None,
    dry_run: bool,
    yes: bool,
    reason: str,
    output: OutputFormat,
) -> list[dict[str, Any]]:
    found = {item.message_id: item.state for item in await select_messages(session, ids, query, every=every)}
    waits = {State.WAITING, State.DELAYED}
    chosen = list(dict.fromkeys(ids or [name for name, state in found.items() if state in waits]))[:limit]
    if dry_run:
        ends = {state: "would_cancel" if state in waits else str(state) for state in State}
        return [
            {"messageId": name, "outcome": ends[found[name]] if name in found else "missing"} for name in chosen
        ]
    if not ids:
        confirm(
            f"{pluralize(len(chosen), 'message')} will be ended.",
            yes=yes,
            machine=output is not OutputFormat.TABLE,
        )
    outcomes = await session.context.get(MessageCanceller).cancel(chosen, reason)
    done = [message_id for message_id, outcome in outcomes.items() if outcome == "cancelled"]
    await record_action(
        session, "message cancel", done, reason=reason, query=query, before="waiting", after="failed"
    )
    return [{"messageId": message_id, "outcome": outcome} for message_id, outcome in outcomes.items()]
