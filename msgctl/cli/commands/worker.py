"""`msgctl worker`: list, show, drain, resume, and stop workers."""

import asyncio
import time
from datetime import datetime
from typing import Annotated, Any

import typer

from msgctl.cli.framework.audit import record_action
from msgctl.cli.framework.completion import complete_workers
from msgctl.cli.framework.help import make_noun_group
from msgctl.cli.framework.options import (
    OutputFormat,
    OutputOption,
    ReasonOption,
    RecordFormat,
    RecordOutputOption,
    TimeoutOption,
)
from msgctl.cli.framework.output import print_listing, print_note, print_record
from msgctl.cli.framework.query import accepts_yes
from msgctl.cli.framework.session import CommandSession, run_with_session
from msgctl.cli.framework.times import format_age
from msgctl.domain.errors import InvalidInput, NotFound, NothingMatched, TryLater
from msgctl.domain.times import parse_duration
from msgctl.operations.workers import Workers
from msgctl.queue.leases import OperatorCommand

WORKER_IDLE_POLL_INTERVAL_S = 0.5

app = make_noun_group("List, drain, resume, and stop workers.")

COLUMNS = {
    "name": "name",
    "state": "state",
    "host": "host",
    "pid": "pid",
    "busy": "running",
    "seen": "last seen",
}
STATE_BY_ORDER = {"drain": "draining", "stop": "stopping"}
WorkerNamesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="NAME", help="The workers.", autocompletion=complete_workers)
]
AllWorkersOption = Annotated[bool, typer.Option("--all", help="Select all live workers.")]
WaitOption = Annotated[
    bool, typer.Option("--wait", help="Wait until the workers are idle, and print what they still run.")
]


@app.command("list", epilog="Example: msgctl worker list -o ids")
def list_workers(context: typer.Context, output: OutputOption = OutputFormat.TABLE) -> None:
    """List the live workers and the messages that they run."""
    workers = run_with_session(context, lambda session: session.context.get(Workers).list_alive())
    records = [_table_record(worker) for worker in workers] if output is OutputFormat.TABLE else workers
    print_listing(records, output, schema="msgctl.worker/1", columns=COLUMNS, key="name")


@app.command(epilog="Example: msgctl worker show worker-vm-4711-9f3a")
def show(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The worker.", autocompletion=complete_workers)],
    output: RecordOutputOption = RecordFormat.TABLE,
) -> None:
    """Show a worker: each message that it runs, since when, and when its lease ends."""

    async def body(session: CommandSession) -> dict[str, Any]:
        workers = session.context.get(Workers)
        for worker in await workers.list_alive():
            if worker["name"] == name:
                return {**worker, "runs": await workers.list_runs(name)}
        raise _no_such_worker(name)

    print_record(run_with_session(context, body), output, schema="msgctl.worker/1")


def _add_waiting_command(order: OperatorCommand, summary: str, example: str) -> None:
    """Add the verb that sends an order to workers and can wait for them to become idle."""

    @app.command(order.value, help=summary, epilog=f"Example: {example}")
    @accepts_yes
    def command(
        context: typer.Context,
        names: WorkerNamesArgument = None,
        *,
        every: AllWorkersOption = False,
        wait: WaitOption = False,
        timeout: TimeoutOption = "5m",
        reason: ReasonOption = "",
    ) -> None:
        timeout_s = parse_duration(timeout)

        async def body(session: CommandSession) -> None:
            chosen = await _send_order(session, names, order, reason, every=every)
            if wait:
                await _wait_until_idle(session, set(chosen), timeout_s)

        run_with_session(context, body)


_add_waiting_command(
    OperatorCommand.DRAIN,
    "Let workers finish their messages and take no new ones, until `msgctl worker resume`.",
    "msgctl worker drain --all --wait",
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
    run_with_session(context, lambda session: _send_order(session, names, None, reason, every=every))


_add_waiting_command(
    OperatorCommand.STOP,
    "Let workers finish their messages and exit. A supervisor such as systemd may restart them.",
    "msgctl worker stop worker-vm-4711-9f3a --wait",
)


async def _send_order(
    session: CommandSession, names: list[str] | None, order: OperatorCommand | None, reason: str, *, every: bool
) -> list[str]:
    """Send an order, or for None its withdrawal, and return the names of the workers."""
    workers = session.context.get(Workers)
    alive = [worker["name"] for worker in await workers.list_alive()]
    if bool(names) == every:
        raise InvalidInput("Give the names of workers, or --all. See them: msgctl worker list")
    if unknown := sorted(set(names or []) - set(alive)):
        raise _no_such_worker(*unknown)
    chosen = names or alive
    if not chosen:
        raise NothingMatched("No worker is alive.")
    await record_action(session, f"worker {order or 'resume'}", chosen, reason=reason)
    await workers.send_command(chosen, order)
    print_note(f"told to {order or 'resume'}: {', '.join(chosen)}")
    return chosen


async def _wait_until_idle(session: CommandSession, names: set[str], timeout_s: float) -> None:
    reported = ""
    deadline = time.monotonic() + timeout_s
    while True:
        alive = await session.context.get(Workers).list_alive()
        busy = [worker for worker in alive if worker["name"] in names and worker["running"]]
        if not busy:
            return
        text = "; ".join(f"{worker['name']} runs {', '.join(worker['running'])}" for worker in busy)
        if text != reported:
            print_note(text)
            reported = text
        if time.monotonic() > deadline:
            raise TryLater(f"After {timeout_s:g} s {len(busy)} of {len(names)} workers are still busy.")
        await asyncio.sleep(WORKER_IDLE_POLL_INTERVAL_S)


def _no_such_worker(*names: str) -> NotFound:
    return NotFound(f"There is no live worker {', '.join(names)}. See them: msgctl worker list")


def _table_record(worker: dict[str, Any]) -> dict[str, Any]:
    seen = datetime.fromisoformat(worker["lastSeenAt"]).timestamp() if worker["lastSeenAt"] else time.time()
    state = STATE_BY_ORDER.get(worker["order"], worker["state"])
    return {**worker, "state": state, "busy": len(worker["running"]), "seen": format_age(seen * 1000)}
