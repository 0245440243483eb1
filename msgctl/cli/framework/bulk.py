"""Commands that change many messages: their shared options, confirmation, and outcomes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msgctl.cli.framework.audit import record_action
from msgctl.cli.framework.confirm import confirm
from msgctl.cli.framework.options import (
    AllOption,
    DryRunOption,
    IdsArgument,
    LimitOption,
    OutputFormat,
    OutputOption,
    ReasonOption,
    YesOption,
)
from msgctl.cli.framework.output import print_listing
from msgctl.cli.framework.query import (
    Command,
    SharedOption,
    replace_parameter,
    select_messages,
    with_query_options,
)
from msgctl.cli.framework.session import CommandSession
from msgctl.domain.errors import Incomplete
from msgctl.domain.messages import State
from msgctl.operations.messages.query import Query

if TYPE_CHECKING:
    from msgctl.operations.messages.search import Summary

OUTCOME_COLUMNS = {"messageId": "id", "outcome": "outcome"}
BULK_OPTIONS = {
    "ids": SharedOption(IdsArgument),
    "every": SharedOption(AllOption, default=False),
    "limit": SharedOption(LimitOption),
    "dry_run": SharedOption(DryRunOption, default=False),
    "yes": SharedOption(YesOption, default=False),
    "reason": SharedOption(ReasonOption, default=""),
    "output": SharedOption(OutputOption, default=OutputFormat.TABLE),
}


@dataclass(frozen=True, kw_only=True)
class BulkAction:
    """The options of one invocation of a bulk command, except those of the query."""

    ids: list[str] | None
    every: bool
    limit: int | None
    dry_run: bool
    yes: bool
    reason: str
    output: OutputFormat

    async def select(
        self, session: CommandSession, query: Query, *, limit: int | None = None, gone: list[str] | None = None
    ) -> "list[Summary]":
        """Return the messages to act on; see `query.select_messages`."""
        return await select_messages(session, self.ids, query, every=self.every, limit=limit, gone=gone)

    def confirm(self, question: str) -> None:
        """Ask for confirmation, unless `--yes` was given.

        Raises:
            Refused: the action is not confirmed.
        """
        confirm(question, yes=self.yes, machine=self.output is not OutputFormat.TABLE)

    async def record(
        self, session: CommandSession, act: str, ids: Sequence[str], query: Query, **change: Any
    ) -> None:
        """Record the action in the audit log; see `audit.record_action`."""
        await record_action(session, act, ids, reason=self.reason, query=query, **change)


def bulk_command(*, state: State | None = None) -> Callable[[Command], Command]:
    """Return a decorator that replaces the parameters `action` and `query` of a command by their options.

    Args:
        state: the state that the command is about. It then has no `--state`.
    """

    def decorate(command: Command) -> Command:
        with_action = replace_parameter(command, "action", BULK_OPTIONS, lambda values: BulkAction(**values))
        return with_query_options(with_action, state=state)

    return decorate


def outcome_records(outcomes: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return one record for each message, from outcomes by message id."""
    return [{"messageId": message_id, "outcome": outcome} for message_id, outcome in outcomes.items()]


def print_outcomes(
    outcomes: Sequence[Mapping[str, Any]],
    output: OutputFormat,
    *,
    schema: str,
    success: str,
    problem: str,
    dry_run: bool = False,
    columns: Mapping[str, str] = OUTCOME_COLUMNS,
) -> None:
    """Print the outcome of each message.

    Args:
        outcomes: the records, each with `messageId` and `outcome`.
        output: the value of `-o`.
        schema: the schema of one record.
        success: the outcome of a message for which the action succeeded.
        problem: ends the sentence "N of M ..." about the others.
        dry_run: nothing was done, so no outcome is a failure.
        columns: the columns of the table.

    Raises:
        Incomplete: the action failed for some messages.
    """
    print_listing(outcomes, output, schema=schema, columns=columns, key="messageId")
    failed = sum(record["outcome"] != success for record in outcomes)
    if failed and not dry_run:
        raise Incomplete(f"{failed} of {len(outcomes)} {problem}")
