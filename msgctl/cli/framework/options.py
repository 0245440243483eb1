"""The options and arguments that several commands share."""

from enum import StrEnum
from typing import Annotated

import typer

from msgctl.cli.framework.completion import complete_ids


class OutputFormat(StrEnum):
    """The values of `-o` for a listing."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    IDS = "ids"


class RecordFormat(StrEnum):
    """The values of `-o` for a single record."""

    TABLE = "table"
    JSON = "json"


OutputOption = Annotated[OutputFormat, typer.Option("--output", "-o", help="Output format.")]
RecordOutputOption = Annotated[RecordFormat, typer.Option("--output", "-o", help="Output format.")]

MessageIdArgument = Annotated[
    str, typer.Argument(metavar="ID", help="The message id.", autocompletion=complete_ids)
]
MessageIdsArgument = Annotated[
    list[str], typer.Argument(metavar="ID", help="The message ids.", autocompletion=complete_ids)
]
IdsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="ID", help="The message ids. Without any, give a query.", autocompletion=complete_ids),
]
AllOption = Annotated[bool, typer.Option("--all", help="Select all messages, without a query.")]
LimitOption = Annotated[int | None, typer.Option(min=1, help="Maximum number of messages, the oldest first.")]
ListLimitOption = Annotated[int, typer.Option(min=1, max=10_000, help="Maximum number of entries.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Print what would be done, and do nothing.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
UnusedYesOption = Annotated[
    bool, typer.Option("--yes", "-y", help="Accepted for scripts. This command never asks.")
]
ReasonOption = Annotated[str, typer.Option(metavar="TEXT", help="Reason, for the journal.")]
RateOption = Annotated[
    str | None, typer.Option(metavar="N/s", help="Maximum rate, per second or minute: 5/s, 90/m.")
]
TimeoutOption = Annotated[str, typer.Option(metavar="DURATION", help="Maximum time to wait.")]
FollowOption = Annotated[bool, typer.Option("--follow", "-f", help="Keep printing new entries until Ctrl-C.")]
WatchOption = Annotated[bool, typer.Option("--watch", "-w", help="Repeat until Ctrl-C.")]
AcceptDataLossOption = Annotated[
    bool, typer.Option("--accept-data-loss", help="Start although Redis may lose messages.")
]
