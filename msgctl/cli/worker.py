"""`msgctl worker`: who works the queue."""

import asyncio
import time
from datetime import datetime
from typing import Annotated, Any

import typer

from msgctl.cli._acts import note_act
from msgctl.cli._complete import complete_workers
from msgctl.cli._noun import noun
from msgctl.cli._output import Output, RecordOutput, RecordShape, Shape, note, print_listing, print_record
from msgctl.cli._query import Reason, unasked
from msgctl.cli._session import Session, run
from msgctl.cli._time import ago
from msgctl.durations import parse_duration
from msgctl.errors import InvalidInput, NotFound, NothingMatched, TryLater
from msgctl.rqueue.claims import Order

LOOK_INTERVAL = 0.5
"""Seconds between two looks at what drained workers still run."""

app = noun("Who works the queue.")

COLUMNS = {
    "name": "name",
    "state": "state",
    "host": "host",
    "pid": "pid",
    "busy": "running",
    "seen": "last seen",
}


@app.command("list", epilog="Example: msgctl worker list -o ids")
def list_workers(context: typer.Context, output: Output = Shape.TABLE) -> None:
    """The workers that are alive, and what each has in hand."""
    workers = run(context, lambda session: session.operations.workers.alive())
    records = [_for_people(worker) for worker in workers] if output is Shape.TABLE else workers
    print_listing(records, output, schema="msgctl.worker/1", columns=COLUMNS, key="name")


@app.command(epilog="Example: msgctl worker show worker-vm-4711-9f3a")
def show(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The worker.", autocompletion=complete_workers)],
    output: RecordOutput = RecordShape.TABLE,
) -> None:
    """One worker: what it runs, for how long, and how long its lease on each message still holds."""

    async def body(session: Session) -> dict[str, Any]:
        alive = {worker["name"]: worker for worker in await session.operations.workers.alive()}
        if name not in alive:
            raise NotFound(f"There is no live worker {name}. See them: msgctl worker list")
        return {**alive[name], "runs": await session.operations.workers.runs(name)}

    print_record(run(context, body), output, schema="msgctl.worker/1")


Names = Annotated[
    list[str] | None, typer.Argument(metavar="NAME", help="Which workers.", autocompletion=complete_workers)
]
Every = Annotated[bool, typer.Option("--all", help="All that are alive.")]
Wait = Annotated[bool, typer.Option("--wait", help="Return once they run nothing; meanwhile say what they run.")]
Timeout = Annotated[str, typer.Option("--timeout", metavar="DURATION", help="How long to wait at most.")]


@app.command(epilog="Example: msgctl worker drain --all --wait")
@unasked
def drain(
    context: typer.Context,
    names: Names = None,
    *,
    every: Every = False,
    wait: Wait = False,
    timeout: Timeout = "5m",
    reason: Reason = "",
) -> None:
    """Let workers finish what they run and take nothing new, until `msgctl worker resume`."""
    patience = parse_duration(timeout)
    run(
        context,
        lambda session: _order(session, names, Order.DRAIN, reason, every=every, wait=patience if wait else None),
    )


@app.command(epilog="Example: msgctl worker resume --all")
@unasked
def resume(context: typer.Context, names: Names = None, *, every: Every = False, reason: Reason = "") -> None:
    """Let drained workers take messages again."""
    run(context, lambda session: _order(session, names, None, reason, every=every, wait=None))


@app.command(epilog="Example: msgctl worker stop worker-vm-4711-9f3a --wait")
@unasked
def stop(
    context: typer.Context,
    names: Names = None,
    *,
    every: Every = False,
    wait: Wait = False,
    timeout: Timeout = "5m",
    reason: Reason = "",
) -> None:
    """Let workers finish what they run and leave; whoever supervises them may start new ones."""
    patience = parse_duration(timeout)
    run(
        context,
        lambda session: _order(session, names, Order.STOP, reason, every=every, wait=patience if wait else None),
    )


async def _order(
    session: Session, names: list[str] | None, order: Order | None, reason: str, *, every: bool, wait: float | None
) -> None:
    workers = session.operations.workers
    alive = [worker["name"] for worker in await workers.alive()]
    if bool(names) == every:
        raise InvalidInput("Name the workers, or say --all. See them: msgctl worker list")
    unknown = sorted(set(names or []) - set(alive))
    if unknown:
        raise NotFound(f"There is no live worker {', '.join(unknown)}. See them: msgctl worker list")
    chosen = names or alive
    if not chosen:
        raise NothingMatched("No worker is alive.")
    await note_act(session, f"worker {order or 'resume'}", chosen, reason=reason)
    await workers.tell(chosen, order)
    note(f"told to {order or 'resume'}: {', '.join(chosen)}")
    if wait is not None:
        await _wait_until_idle(session, set(chosen), wait)


async def _wait_until_idle(session: Session, names: set[str], seconds: float) -> None:
    told = ""
    deadline = time.monotonic() + seconds
    while True:
        busy = [
            worker
            for worker in await session.operations.workers.alive()
            if worker["name"] in names and worker["running"]
        ]
        if not busy:
            return
        running = "; ".join(f"{worker['name']} runs {', '.join(worker['running'])}" for worker in busy)
        if running != told:
            note(running)
            told = running
        if time.monotonic() > deadline:
            raise TryLater(f"After {seconds:g} s {len(busy)} of {len(names)} workers still run something.")
        await asyncio.sleep(LOOK_INTERVAL)


def _for_people(worker: dict[str, Any]) -> dict[str, Any]:
    seen = datetime.fromisoformat(worker["lastSeenAt"]).timestamp() if worker["lastSeenAt"] else time.time()
    told = {"drain": "draining", "stop": "stopping"}.get(worker["order"], worker["state"])
    return {**worker, "state": told, "busy": len(worker["running"]), "seen": ago(seen * 1000)}
