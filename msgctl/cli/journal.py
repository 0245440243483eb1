"""`msgctl journal`: what operators did, and taking it back where that is possible."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import msgspec
import typer

from msgctl.cli._acts import note_act
from msgctl.cli._complete import complete_entries
from msgctl.cli._noun import noun
from msgctl.cli._output import Output, Shape, note, print_listing
from msgctl.cli._query import DryRun, Reason, unasked
from msgctl.cli._session import Session, run
from msgctl.cli._time import ago, rfc3339
from msgctl.errors import Incomplete, Refused
from msgctl.operations.journal import NAMED, Act
from msgctl.rqueue.claims import Order

app = noun("What operators did, and taking it back.")

COLUMNS = {"entry": "entry", "when": "when", "who": "who", "act": "act", "count": "count", "reason": "reason"}


@app.command("list", epilog="Example: msgctl journal list --limit 20")
def list_acts(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 50,
    output: Output = Shape.TABLE,
) -> None:
    """The acts, newest first; about 10,000 are kept."""
    acts = run(context, lambda session: session.operations.journal.newest(limit))
    records = [{**msgspec.to_builtins(act), "at": rfc3339(act.at), "when": ago(act.at)} for act in acts]
    print_listing(records, output, schema="msgctl.act/1", columns=COLUMNS, key="entry", extra={"limit": limit})


@app.command(epilog="Example: msgctl journal undo 1763937000000-0 --dry-run")
@unasked
def undo(
    context: typer.Context,
    entry: Annotated[
        str, typer.Argument(help="The number of the entry, from `journal list`.", autocompletion=complete_entries)
    ],
    *,
    dry_run: DryRun = False,
    reason: Reason = "",
) -> None:
    """Take an act back: a pause, a cancellation, a replay that has not run yet, an order, a disabled agent."""

    async def body(session: Session) -> tuple[int, int]:
        act = await session.operations.journal.find(entry)
        reverse = UNDO.get(act.act)
        if reverse is None or (act.count > len(act.ids) and act.count > NAMED):
            why = "it forgot what it changed" if act.act == "dlq drop" else "it has no way back"
            raise Refused(f"`{act.act}` cannot be undone: {why}.")
        if dry_run:
            note(f"would undo `{act.act}` of {act.count}")
            return act.count, act.count
        done = await reverse(session, act)
        await note_act(session, f"undo {act.act}", done, reason=reason or f"undo {entry}")
        note(f"undone: {len(done)} of {act.count}")
        return len(done), act.count

    done, count = run(context, body)
    if done < count:
        raise Incomplete(f"{count - done} of {count} had moved on and were left alone.")


async def _cancel(session: Session, act: Act) -> list[str]:
    outcomes = await session.operations.cancelling.cancel(act.ids, f"its replay {act.entry} was taken back")
    return [message_id for message_id, outcome in outcomes.items() if outcome == "cancelled"]


async def _replay(session: Session, act: Act) -> list[str]:
    replayed = session.operations.dead_letters.replay(act.ids)
    return [one.message_id async for one in replayed if one.outcome == "replayed"]


async def _resume(session: Session, act: Act) -> list[str]:
    if names := [name for name in act.ids if name not in (act.before or [])]:
        await session.operations.queue.resume(names)
    return act.ids


async def _pause(session: Session, act: Act) -> list[str]:
    before: list[str] = act.before or []
    await session.operations.queue.pause(() if len(before) == len(act.ids) == 10 else before)
    return act.ids


async def _release(session: Session, act: Act) -> list[str]:
    await session.operations.workers.tell(act.ids, None)
    return act.ids


async def _drain(session: Session, act: Act) -> list[str]:
    await session.operations.workers.tell(act.ids, Order.DRAIN)
    return act.ids


async def _enable(session: Session, act: Act) -> list[str]:
    return [agent_id for agent_id in act.ids if await session.agents.switch(agent_id, active=True)]


async def _disable(session: Session, act: Act) -> list[str]:
    return [agent_id for agent_id in act.ids if await session.agents.switch(agent_id, active=False)]


UNDO: dict[str, Callable[[Session, Any], Awaitable[list[str]]]] = {
    "message cancel": _replay,
    "dlq replay": _cancel,
    "queue pause": _resume,
    "queue resume": _pause,
    "worker drain": _release,
    "worker resume": _drain,
    "agent disable": _enable,
    "agent enable": _disable,
}
"""Each act that has a way back, and the way."""
