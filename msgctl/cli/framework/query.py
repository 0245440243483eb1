"""The query that selects messages: its options on a command, and the messages it means."""

import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar

import msgspec
import typer

from msgctl.cli.framework.channel_option import CHOICES, parse_channel
from msgctl.cli.framework.completion import complete_agents, complete_groups
from msgctl.cli.framework.options import UnusedYesOption
from msgctl.cli.framework.session import CommandSession
from msgctl.domain.errors import InvalidInput, NotFound, NothingMatched
from msgctl.domain.messages import Channel, State
from msgctl.domain.ownership import not_found
from msgctl.domain.times import parse_duration
from msgctl.operations.messages.query import Query

if TYPE_CHECKING:
    from msgctl.operations.messages.search import Summary

T = TypeVar("T")
Command = Callable[..., None]
MAX_NAMED_IDS = 3
"""Maximum number of missing ids that an error lists."""


class SharedOption(NamedTuple):
    """An option that a decorator adds to a command."""

    annotation: Any
    default: Any = None


QUERY_OPTIONS: dict[str, Any] = {
    "state": Annotated[State | None, typer.Option(help="Only messages in this state.")],
    "channel": Annotated[
        Channel | None, typer.Option(parser=parse_channel, metavar=CHOICES, help="Only messages of this channel.")
    ],
    "agent": Annotated[
        str | None, typer.Option(metavar="ID", help="Only messages to this agent.", autocompletion=complete_agents)
    ],
    "user": Annotated[str | None, typer.Option(help="Only messages of this user.")],
    "priority": Annotated[int | None, typer.Option(min=1, max=10, help="Only messages of this priority.")],
    "error": Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Only messages whose last error has this in its code or text."),
    ],
    "group": Annotated[
        str | None,
        typer.Option(
            metavar="KEY", help="Only messages of this group of `dlq groups`.", autocompletion=complete_groups
        ),
    ],
    "since": Annotated[
        str | None, typer.Option(metavar="DURATION", help="Only messages newer than this: 15m, 2h, 7d.")
    ],
    "until": Annotated[str | None, typer.Option(metavar="DURATION", help="Only messages older than this.")],
    "match": Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only messages with this in the customer's text.")
    ],
}


def with_query_options(command: Command, *, state: State | None = None) -> Command:
    """Replace the parameter `query` of a command by the options of a query.

    Args:
        command: a command that takes `query`.
        state: the state that the command is about. It then has no `--state`.
    """
    options = {
        name: SharedOption(option) for name, option in QUERY_OPTIONS.items() if name != "state" or state is None
    }
    return replace_parameter(command, "query", options, lambda values: _build_query({"state": state, **values}))


def dead_letter_query(command: Command) -> Command:
    """Replace the parameter `query` of a command about dead letters by the options of a query."""
    return with_query_options(command, state=State.FAILED)


def accepts_yes(command: Command) -> Command:
    """Give `--yes` to a command that never asks, so that scripts can pass it to each action."""
    return replace_parameter(command, "", {"yes": SharedOption(UnusedYesOption, default=False)}, lambda _: None)


def replace_parameter(
    command: Command, name: str, options: Mapping[str, SharedOption], build: Callable[[dict[str, Any]], Any]
) -> Command:
    """Return a command with options in place of one parameter.

    Args:
        command: the command.
        name: the parameter. If it is empty, the options are only added.
        options: the options by name.
        build: returns the argument for `name` from the values of the options.
    """
    own = inspect.signature(command, eval_str=True).parameters

    @functools.wraps(command)
    def wrapper(**arguments: Any) -> None:
        value = build({option: arguments.pop(option) for option in options})
        command(**arguments, **({name: value} if name else {}))

    added = [
        inspect.Parameter(option, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for option, (annotation, default) in options.items()
    ]
    kept = [parameter for parameter in own.values() if parameter.name != name]
    parameters = sorted([*kept, *added], key=lambda parameter: parameter.kind)
    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # Typer reads both of these
    wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return wrapper


def is_unrestricted(query: Query) -> bool:
    """Return whether a query has no condition except the state."""
    return query == Query(state=query.state)


def query_to_record(query: Query) -> dict[str, Any]:
    """Return the conditions of a query, for the audit log and for plans."""
    return {name: value for name, value in msgspec.to_builtins(query).items() if value is not None}


async def select_messages(
    session: CommandSession,
    ids: Sequence[str] | None,
    query: Query,
    *,
    every: bool,
    limit: int | None = None,
    gone: list[str] | None = None,
) -> "list[Summary]":
    """Return the messages that a command acts on: those listed by id, or those of the query, oldest first.

    Args:
        session: the session of the command.
        ids: the ids that were given.
        query: the query that was given.
        every: `--all` was given.
        limit: the maximum number of messages of a query.
        gone: receives the ids in registries whose job no longer exists, if `--all` was given.

    Raises:
        InvalidInput: the command line has neither or both of ids and query.
        NotFound: none of the listed messages exists.
        NothingMatched: the query matches no message.
    """
    if bool(ids) == (every or not is_unrestricted(query)):
        raise InvalidInput(_selection_problem(query, both=bool(ids)))
    from msgctl.operations.messages.search import MessageSearch  # noqa: PLC0415 - `queue stats` needs no search

    search = session.context.get(MessageSearch)
    if ids:
        unique_ids = list(dict.fromkeys(ids))
        found = {item.message_id: item async for batch in search.read(unique_ids) for item in batch}
        if not found:
            raise no_such_message(*ids)
        return list(found.values())
    matching = await search.all(query, gone=gone if every else None)
    if not matching and not gone:
        raise NothingMatched("Nothing matches the query.")
    return matching[:limit]


def no_such_message(*ids: str) -> NotFound:
    """Return the error for ids without a message."""
    listed = f"{', '.join(ids[:MAX_NAMED_IDS])}{' …' if len(ids) > MAX_NAMED_IDS else ''}"
    return NotFound(f"There is no such message: {listed}. Give the whole id. See: msgctl message list")


async def name_missing_message(message_id: str, lookup: Awaitable[T]) -> T:
    """Await the lookup of a message, and name the id if there is no such message.

    Args:
        message_id: the id for the error.
        lookup: raises `NotFound` if the message does not exist.

    Raises:
        NotFound: the message does not exist. The text contains the id.
    """
    try:
        return await lookup
    except NotFound as error:
        if error.message == not_found("message").message:
            raise no_such_message(message_id) from None
        raise


def _selection_problem(query: Query, *, both: bool) -> str:
    if both:
        return "Give message ids, or a query, or --all, but only one of them."
    if query.state:
        return f"This selects all {query.state} messages. Add a condition, e.g. --since 2h, or give --all."
    return "Give message ids, a query such as --since 2h, or --all."


def _build_query(values: Mapping[str, Any]) -> Query:
    durations = {name: parse_duration(values[name]) for name in ("since", "until") if values[name]}
    return Query(**{**values, **durations})
