"""`msgctl worker`: who works the queue."""

import time
from datetime import datetime
from typing import Any

import typer

from msgctl.cli._noun import noun
from msgctl.cli._output import Output, Shape, print_listing
from msgctl.cli._session import run
from msgctl.cli._time import ago

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


def _for_people(worker: dict[str, Any]) -> dict[str, Any]:
    seen = datetime.fromisoformat(worker["lastSeenAt"]).timestamp() if worker["lastSeenAt"] else time.time()
    return {**worker, "busy": len(worker["running"]), "seen": ago(seen * 1000)}
