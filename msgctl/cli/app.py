"""The root of the command line: the global options and the table of commands."""

from pathlib import Path
from typing import Annotated, Any

import typer

from msgctl import __version__
from msgctl.cli.framework.context import GlobalOptions, may_prompt
from msgctl.cli.framework.lazy import CommandEntry, LazyGroup

COMMAND_ENTRIES = {
    "demo": CommandEntry("demo", "demo", "Start everything on this machine and send messages.", "msgctl demo"),
    "up": CommandEntry(
        "up",
        "up",
        "Run the whole pipeline on this machine in the foreground.",
        "msgctl up --embedded --data-dir ./data",
    ),
    "start": CommandEntry("start", "app", "Run a worker, a subscriber, or a gateway in the foreground."),
    "message": CommandEntry("message.commands", "app", "Send, list, trace, and cancel messages."),
    "queue": CommandEntry("queue", "app", "Show, check, pause, resume, drain, and clean the queue."),
    "dlq": CommandEntry("dlq.commands", "app", "List, group, replay, edit, export, and drop dead letters."),
    "dash": CommandEntry("dash", "dash", "Show the live dashboard, here or in a browser.", "msgctl dash"),
    "top": CommandEntry("top", "top", "Print the overview as plain text.", "msgctl top --watch"),
    "verify": CommandEntry("verify", "verify", "Check the invariants on the live system."),
    "events": CommandEntry("events", "app", "Read the ledger, and restore from it."),
    "delivery": CommandEntry("delivery", "app", "List, show, retry, and drop deliveries."),
    "channel": CommandEntry("channel", "app", "List, pause, resume, and test channels."),
    "worker": CommandEntry("worker", "app", "List, drain, resume, and stop workers."),
    "agent": CommandEntry("agent", "app", "Add, list, show, set up, enable, and disable AI agents."),
    "token": CommandEntry("token", "app", "Issue and inspect tokens for the gateway."),
    "db": CommandEntry("db", "app", "Migrate the PostgreSQL tables and show their status."),
    "systemd": CommandEntry("systemd", "app", "Install, deploy, and uninstall the systemd units."),
    "config": CommandEntry("config", "app", "Show, check, explain, and create the configuration."),
    "doctor": CommandEntry("doctor", "doctor", "Diagnose the pipeline and name the fix for each problem."),
    "smoke": CommandEntry("smoke", "smoke", "Send test messages through the gateway and check the replies."),
    "assert": CommandEntry("conditions", "check", "Exit 0 if a condition holds, for cron and CI."),
    "wait": CommandEntry("conditions", "wait", "Wait until a condition holds."),
    "logs": CommandEntry("logs", "logs", "Print lines of the daemons' logs."),
    "journal": CommandEntry("journal", "app", "List and undo operator actions."),
    "status": CommandEntry("message.commands", "app.show", "Same as `message show`."),
    "stats": CommandEntry("queue", "app.stats", "Same as `queue stats`."),
    "health": CommandEntry("queue", "app.health", "Same as `queue health`."),
}


class RootGroup(LazyGroup):
    """The command group `msgctl`."""

    entries = COMMAND_ENTRIES


def make_root() -> Any:
    """Return the command tree for `framework.exit.run_invocation`."""
    app = typer.Typer(
        cls=RootGroup, no_args_is_help=True, rich_markup_mode=None, context_settings={"max_content_width": 80}
    )
    app.callback(
        help="Run and operate the asynchronous pipeline between chat customers and AI agents.",
        epilog="Each command has its own help: msgctl message send --help",
    )(_globals)
    return typer.main.get_command(app)  # with --install-completion and --show-completion


def _globals(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            envvar="MSGCTL_CONFIG",
            metavar="PATH",
            help="Configuration file. Default: ./config.toml, else /etc/msgctl/config.toml.",
        ),
    ] = None,
    version: Annotated[  # noqa: ARG001 - its callback does the work
        bool,
        typer.Option(
            "--version",
            help="Print the version and exit.",
            is_eager=True,
            callback=lambda on: _print_version() if on else None,
        ),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Print tracebacks and debug logs.")] = False,
    no_input: Annotated[
        bool, typer.Option("--no-input", help="Never prompt. A command that needs a confirmation requires --yes.")
    ] = False,
) -> None:
    state = context.ensure_object(GlobalOptions)
    state.config_path = config
    state.debug = debug
    may_prompt.set(not no_input)


def _print_version() -> None:
    typer.echo(f"msgctl {__version__}")
    raise typer.Exit
