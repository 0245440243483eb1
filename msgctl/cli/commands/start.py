"""`msgctl start`: run a worker, a subscriber, or a gateway in the foreground.

It executes `python -m daemons.NAME`, as systemd does. The options become environment variables for the daemon.
"""

import os
import sys
from typing import Annotated, Any

import typer

from msgctl.cli.framework.context import global_options_of
from msgctl.cli.framework.help import make_noun_group
from msgctl.cli.framework.options import AcceptDataLossOption

app = make_noun_group("Run a worker, a subscriber, or a gateway in the foreground.")


@app.command(epilog="Example: msgctl start worker --concurrency 10")
def worker(
    context: typer.Context,
    concurrency: Annotated[
        int | None,
        typer.Option(min=1, max=5000, help="Messages processed in parallel. Default: as configured, else 5."),
    ] = None,
    accept_data_loss: AcceptDataLossOption = False,
) -> None:
    """Run a worker, which processes messages."""
    _execute(context, "worker", accept_data_loss, MSGCTL_WORKER_CONCURRENCY=concurrency)


@app.command(epilog="Example: msgctl start subscriber")
def subscriber(context: typer.Context, accept_data_loss: AcceptDataLossOption = False) -> None:
    """Run a subscriber, which delivers responses to their channels."""
    _execute(context, "subscriber", accept_data_loss)


@app.command(epilog="Example: msgctl start gateway --port 3000")
def gateway(
    context: typer.Context,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on. Default: as configured, else 0.0.0.0.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="Port to listen on. 0 takes a free one. Default: as configured, else 3000."
        ),
    ] = None,
    accept_data_loss: AcceptDataLossOption = False,
) -> None:
    """Run a gateway, which serves the HTTP API and the WebSocket."""
    _execute(context, "gateway", accept_data_loss, MSGCTL_GATEWAY_HOST=host, MSGCTL_GATEWAY_PORT=port)


def _execute(context: typer.Context, daemon: str, accept_data_loss: bool, **variables: Any) -> None:
    """Replace this process by the daemon."""
    path = global_options_of(context).config_path
    variables |= {
        "MSGCTL_CONFIG": path.absolute() if path else None,
        "MSGCTL_REDIS_ACCEPT_DATA_LOSS": "true" if accept_data_loss else None,
    }
    os.environ.update({name: str(value) for name, value in variables.items() if value is not None})
    os.execv(sys.executable, [sys.executable, "-m", f"daemons.{daemon}"])  # noqa: S606 - no shell is wanted
