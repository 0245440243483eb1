"""`msgctl worker`: who works the queue."""

import asyncio
import time
from datetime import datetime
from typing import Annotated, Any

import typer

from msgctl.cli.framework.audit import record_action
from msgctl.cli.framework.completion import complete_workers
from msgctl.cli.framework.groups import make_noun_group
from msgctl.cli.framework.output import (
    OutputFormat,
    OutputOption,
    RecordFormat,
    RecordOutputOption,
    print_listing,
    print_note,
    print_record,
)
from msgctl.cli.framework.query import ReasonOption, accepts_yes
from msgctl.cli.framework.session import CommandSession, run_with_session
from msgctl.cli.framework.times import format_age
from msgctl.domain.errors import InvalidInput, NotFound, NothingMatched, TryLater
from msgctl.domain.times import parse_duration
from msgctl.operations.workers import Workers
from msgctl.queue.leases import OperatorCommand

WORKER_IDLE_POLL_INTERVAL_S = 0.5
"""Seconds between two looks at what drained workers still run."""

app = make_noun_group("Who works the queue.")

COLUMNS = {
    "name": "name",
    "state": "state",
    "host": "host",
    "pid": "pid",
    "busy": "running",
    "seen": "last seen",
}


@app.command("list", epilog="Example: msgctl worker list -o ids")
def list_workers(context: typer.Context, output: OutputOption = OutputFormat.TABLE) -> None:
    """The workers that are alive, and what each has in hand."""
    workers = run_with_session(context, lambda session: session.context.get(Workers).list_alive())
    records = [_table_record(worker) for worker in workers] if output is OutputFormat.TABLE else workers
    print_listing(records, output, schema="msgctl.worker/1", columns=COLUMNS, key="name")


@app.command(epilog="Example: msgctl worker show worker-vm-4711-9f3a")
def show(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The worker.", autocompletion=complete_workers)],
    output: RecordOutputOption = RecordFormat.TABLE,
) -> None:
    """One worker: what it runs, for how long, and how long its lease on each message still holds."""

    async def body(session: CommandSession) -> dict[str, Any]:
        alive = {worker["name"]: worker for worker in await session.context.get(Workers).list_alive()}
        if name not in alive:
            raise NotFound(f"There is no live worker {name}. See them: msgctl worker list")
        return {**alive[name], "runs": await session.context.get(Workers).list_runs(name)}

    print_record(run_with_session(context, body), output, schema="msgctl.worker/1")


WorkerNamesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="NAME", help="Which workers.", autocompletion=complete_workers)
]
AllWorkersOption = Annotated[bool, typer.Option("--all", help="All that are alive.")]
WaitOption = Annotated[
    bool, typer.Option("--wait", help="Return once they run nothing; meanwhile say what they run.")
]
TimeoutOption = Annotated[str, typer.Option("--timeout", metavar="DURATION", help="How long to wait at most.")]


@app.command(epilog="Example: msgctl worker drain --all --wait")
@accepts_yes
def drain(
    context: typer.Context,
    names: WorkerNamesArgument = None,
    *,
    every: AllWorkersOption = False,
    wait: WaitOption = False,
    timeout: TimeoutOption = "5m",
    reason: ReasonOption = "",
) -> None:
    """Let workers finish what they run and take nothing new, until `msgctl worker resume`."""
    patience = parse_duration(timeout)
    run_with_session(
        context,
        lambda session: _command_workers(
            session, names, OperatorCommand.DRAIN, reason, every=every, wait=patience if wait else None
        ),
    )


@app.command(epilog="Example: msgctl worker resume --all")
@accepts_yes
def resume(
    context: typer.Context,
    names: WorkerNamesArgument = None,
    *,
    every: AllWorkersOption = False,
    reason: ReasonOption = "",
) -> None:
    """Let drained workers take messages again."""
    run_with_session(
        context, lambda session: _command_workers(session, names, None, reason, every=every, wait=None)
    )


@app.command(epilog="Example: msgctl worker stop worker-vm-4711-9f3a --wait")
@accepts_yes
def stop(
    context: typer.Context,
    names: WorkerNamesArgument = None,
    *,
    every: AllWorkersOption = False,
    wait: WaitOption = False,
    timeout: TimeoutOption = "5m",
    reason: ReasonOption = "",
) -> None:
    """Let workers finish what they run and leave; whoever supervises them may start new ones."""
    patience = parse_duration(timeout)
    run_with_session(
        context,
        lambda session: _command_workers(
            session, names, OperatorCommand.STOP, reason, every=every, wait=patience if wait else None
        ),
    )


async def _command_workers(
    session: CommandSession,
    names: list[str] | None,
    order: OperatorCommand | None,
    reason: str,
    *,
    every: bool,
    wait: float | None,
) -> None:
    workers = session.context.get(Workers)
    alive = [worker["name"] for worker in await workers.list_alive()]
    if bool(names) == every:
        raise InvalidInput("Name the workers, or say --all. See them: msgctl worker list")
    unknown = sorted(set(names or []) - set(alive))
    if unknown:
        raise NotFound(f"There is no live worker {', '.join(unknown)}. See them: msgctl worker list")
    chosen = names or alive
    if not chosen:
        raise NothingMatched("No worker is alive.")
    await record_action(session, f"worker {order or 'resume'}", chosen, reason=reason)
    await workers.send_command(chosen, order)
    print_note(f"told to {order or 'resume'}: {', '.join(chosen)}")
    if wait is not None:
        await _wait_until_idle(session, set(chosen), wait)


async def _wait_until_idle(session: CommandSession, names: set[str], seconds: float) -> None:
    told = ""
    deadline = time.monotonic() + seconds
    while True:
        busy = [
            worker
            for worker in await session.context.get(Workers).list_alive()
            if worker["name"] in names and worker["running"]
        ]
        if not busy:
            return
        running = "; ".join(f"{worker['name']} runs {', '.join(worker['running'])}" for worker in busy)
        if running != told:
            print_note(running)
            told = running
        if time.monotonic() > deadline:
            raise TryLater(f"After {seconds:g} s {len(busy)} of {len(names)} workers still run something.")
        await asyncio.sleep(WORKER_IDLE_POLL_INTERVAL_S)


def _table_record(worker: dict[str, Any]) -> dict[str, Any]:
    seen = datetime.fromisoformat(worker["lastSeenAt"]).timestamp() if worker["lastSeenAt"] else time.time()
    told = {"drain": "draining", "stop": "stopping"}.get(worker["order"], worker["state"])
    return {**worker, "state": told, "busy": len(worker["running"]), "seen": format_age(seen * 1000)}
