"""The root of the command line: the global options and the table of commands."""

from pathlib import Path
from typing import Annotated, Any

import typer

from msgctl import __version__
from msgctl.cli.framework.context import GlobalOptions, may_prompt
from msgctl.cli.framework.lazy import CommandEntry, LazyGroup

COMMAND_ENTRIES = {
    "demo": CommandEntry(
        "demo", "demo", "Start everything on this machine and watch messages go through.", "msgctl demo"
    ),
    "up": CommandEntry(
        "up",
        "up",
        "Run the whole pipeline of this machine in the foreground.",
        "msgctl up --embedded --data-dir ./data",
    ),
    "start": CommandEntry("start", "app", "Run one daemon in the foreground: worker, subscriber or gateway."),
    "message": CommandEntry("message.commands", "app", "Send a message, and see what became of it."),
    "queue": CommandEntry("queue.commands", "app", "Counts and health of the queue; pause it, clean it."),
    "dlq": CommandEntry("dlq.commands", "app", "The dead letters: list, group, replay, edit, drop them."),
    "dash": CommandEntry("dash", "dash", "The pipeline live: a dashboard, here or in the browser.", "msgctl dash"),
    "top": CommandEntry("top", "top", "The overview on one plain screen.", "msgctl top --watch"),
    "verify": CommandEntry("verify", "verify", "Do the pipeline's promises hold, right now?"),
    "events": CommandEntry("events", "app", "The ledger: what happened to every message."),
    "delivery": CommandEntry("delivery", "app", "What became of each response on its way to a customer."),
    "channel": CommandEntry("channel", "app", "The ways to a customer."),
    "worker": CommandEntry("worker", "app", "Who works the queue."),
    "agent": CommandEntry("agent", "app", "The AI agents messages are written to."),
    "token": CommandEntry("token", "app", "Tokens for the gateway."),
    "db": CommandEntry("db", "app", "The tables in PostgreSQL."),
    "systemd": CommandEntry("systemd", "app", "This server: install, deploy, uninstall the systemd units."),
    "config": CommandEntry("config", "app", "What is set, and where it came from."),
    "doctor": CommandEntry("doctor", "doctor", "What is the matter, and the command that mends it."),
    "smoke": CommandEntry("smoke", "smoke", "Messages through the API and the socket, judged: for CI."),
    "assert": CommandEntry("conditions", "check", "Does a condition hold? For cron and CI."),
    "wait": CommandEntry("conditions", "wait", "Return once a condition holds."),
    "logs": CommandEntry("logs", "logs", "Lines of the daemons' logs, of one message or of errors."),
    "journal": CommandEntry("journal", "app", "What operators did, and taking it back."),
    "status": CommandEntry("message.commands", "app.show", "The same as `message show`."),
    "stats": CommandEntry("queue.commands", "app.stats", "The same as `queue stats`."),
    "health": CommandEntry("queue.commands", "app.health", "The same as `queue health`."),
}


class RootGroup(LazyGroup):
    """`msgctl` itself."""

    entries = COMMAND_ENTRIES


def make_root() -> Any:
    """The command tree, to be run by `_exit.run`."""
    app = typer.Typer(
        cls=RootGroup, no_args_is_help=True, rich_markup_mode=None, context_settings={"max_content_width": 80}
    )
    app.callback(
        help="The asynchronous pipeline between chat customers and AI agents, and the toolkit to operate it.",
        epilog="Every command tells more: msgctl message send --help",
    )(_globals)
    return typer.main.get_command(app)  # with --install-completion and --show-completion


def _globals(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            envvar="MSGCTL_CONFIG",
            metavar="PATH",
            help="Configuration file; else ./config.toml, else /etc/msgctl/config.toml.",
        ),
    ] = None,
    version: Annotated[  # noqa: ARG001 - its callback has answered already
        bool,
        typer.Option(
            "--version",
            help="Show the version.",
            is_eager=True,
            callback=lambda on: _print_version() if on else None,
        ),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and the log of what is done.")] = False,
    no_input: Annotated[
        bool, typer.Option("--no-input", help="Ask nothing: what needs a yes and has no --yes is refused.")
    ] = False,
) -> None:
    state = context.ensure_object(GlobalOptions)
    state.config_path = config
    state.debug = debug
    may_prompt.set(not no_input)


def _print_version() -> None:
    typer.echo(f"msgctl {__version__}")
    raise typer.Exit
