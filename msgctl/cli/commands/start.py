"""`msgctl start worker | subscriber | gateway`: one daemon in the foreground.

It *executes* `python -m daemons.NAME`, so that a person and systemd run the same thing; the options become
environment variables, which is what the daemons read.
"""

import os
import sys
from typing import Annotated, Any

import typer

from msgctl.cli.framework.context import global_options_of
from msgctl.cli.framework.groups import make_noun_group

app = make_noun_group("Run one daemon in the foreground.")

AcceptDataLossOption = Annotated[
    bool, typer.Option("--accept-data-loss", help="Start although Redis may forget messages.")
]


@app.command(epilog="Example: msgctl start worker --concurrency 10")
def worker(
    context: typer.Context,
    concurrency: Annotated[
        int | None, typer.Option(min=1, max=5000, help="Messages worked at once; 5 unless configured.")
    ] = None,
    accept_data_loss: AcceptDataLossOption = False,
) -> None:
    """Work messages."""
    _execute(context, "worker", accept_data_loss, MSGCTL_WORKER_CONCURRENCY=concurrency)


@app.command(epilog="Example: msgctl start subscriber")
def subscriber(context: typer.Context, accept_data_loss: AcceptDataLossOption = False) -> None:
    """Deliver responses to their channels."""
    _execute(context, "subscriber", accept_data_loss)


@app.command(epilog="Example: msgctl start gateway --port 3000")
def gateway(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help="Address to listen on; 0.0.0.0 unless configured.")] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port to listen on; 3000 unless configured, 0: a free one."),
    ] = None,
    accept_data_loss: AcceptDataLossOption = False,
) -> None:
    """Serve the HTTP API and the WebSocket."""
    _execute(context, "gateway", accept_data_loss, MSGCTL_GATEWAY_HOST=host, MSGCTL_GATEWAY_PORT=port)


def _execute(context: typer.Context, daemon: str, accept_data_loss: bool, **variables: Any) -> None:
    """Become the daemon: same process, same terminal, its exit code is ours."""
    path = global_options_of(context).config_path
    variables |= {
        "MSGCTL_CONFIG": path.absolute() if path else None,
        "MSGCTL_REDIS_ACCEPT_DATA_LOSS": "true" if accept_data_loss else None,
    }
    os.environ.update({name: str(value) for name, value in variables.items() if value is not None})
    os.execv(sys.executable, [sys.executable, "-m", f"daemons.{daemon}"])  # noqa: S606 - no shell is wanted
