"""The one query that every noun understands: its options, and which messages it means."""

import functools
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec
import typer

from msgctl.cli.framework.channel_option import CHOICES, parse_channel
from msgctl.cli.framework.completion import complete_agents, complete_groups, complete_ids
from msgctl.cli.framework.session import CommandSession
from msgctl.domain.errors import InvalidInput, NotFound, NothingMatched
from msgctl.domain.messages import Channel, State
from msgctl.domain.ownership import not_found
from msgctl.domain.times import parse_duration
from msgctl.operations.messages.query import Query

if TYPE_CHECKING:
    from msgctl.operations.messages.search import Summary

T = TypeVar("T")
MAX_NAMED_IDS = 3
"""Missing ids that an error names at most."""

IdsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="ID", help="Which ones; else a query.", autocompletion=complete_ids),
]
AllOption = Annotated[bool, typer.Option("--all", help="All of them, where no query narrows it down.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
UnusedYesOption = Annotated[
    bool, typer.Option("--yes", "-y", help="Taken as by every act; this one asks nothing.")
]
LimitOption = Annotated[int | None, typer.Option(min=1, help="So many at most, the oldest.")]
ReasonOption = Annotated[str, typer.Option(metavar="TEXT", help="Why, for the journal.")]

QUERY_OPTIONS: dict[str, Any] = {
    "state": Annotated[State | None, typer.Option(help="Only in this state.")],
    "channel": Annotated[
        Channel | None, typer.Option(parser=parse_channel, metavar=CHOICES, help="Only of this channel.")
    ],
    "agent": Annotated[
        str | None, typer.Option(metavar="ID", help="Only to this agent.", autocompletion=complete_agents)
    ],
    "user": Annotated[str | None, typer.Option(help="Only of this user.")],
    "priority": Annotated[int | None, typer.Option(min=1, max=10, help="Only of this priority.")],
    "error": Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only with this in the last error's code or text.")
    ],
    "group": Annotated[
        str | None,
        typer.Option(metavar="KEY", help="Only of this group of `dlq groups`.", autocompletion=complete_groups),
    ],
    "since": Annotated[str | None, typer.Option(metavar="DURATION", help="Only within it: 15m, 2h, 7d.")],
    "until": Annotated[str | None, typer.Option(metavar="DURATION", help="Only longer ago than that.")],
    "match": Annotated[str | None, typer.Option(metavar="TEXT", help="Only with this in the customer's text.")],
}


def with_query_options(command: Callable[..., None], *, state: State | None = None) -> Callable[..., None]:
    """Give a command the options of a query in place of its parameter `query`.

    Args:
        command: takes `query`.
        state: the one state its noun is about; it has no `--state` then.
    """
    options = {name: option for name, option in QUERY_OPTIONS.items() if name != "state" or state is None}
    own = inspect.signature(command, eval_str=True).parameters
    kept = [parameter for name, parameter in own.items() if name != "query"]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=option)
        for name, option in options.items()
    ]

    @functools.wraps(command)
    def queries(**given: Any) -> None:
        values = {name: given.pop(name) for name in options}
        command(query=_build_query({"state": state, **values}), **given)

    return _with_parameters(queries, [*kept, *added])


def accepts_yes(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command that asks nothing a `--yes` all the same, so that scripts may say it of every act."""
    own = inspect.signature(command, eval_str=True).parameters.values()
    extra = inspect.Parameter("yes", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=UnusedYesOption)

    @functools.wraps(command)
    def acts(**given: Any) -> None:
        del given["yes"]
        command(**given)

    return _with_parameters(acts, [*own, extra])


def dead_letter_query(command: Callable[..., None]) -> Callable[..., None]:
    """The same for a command about dead letters."""
    return with_query_options(command, state=State.FAILED)


def is_unrestricted(query: Query) -> bool:
    """Whether nothing but perhaps the state narrows it down."""
    return query == Query(state=query.state)


def query_to_record(query: Query) -> dict[str, Any]:
    """What was asked for, for the journal and for plans."""
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
    """The messages that a command shall change: those named, or those of the query, oldest first.

    Args:
        session: of the command.
        ids: those named.
        query: what was asked for.
        every: `--all` was given.
        limit: how many of a query's at most.
        gone: gets the ids of a registry whose record has gone, where no query would have to read it.

    Raises:
        InvalidInput: neither or both were given.
        NotFound: none of those named exists.
        NothingMatched: no message answers to the query.
    """
    if bool(ids) == (every or not is_unrestricted(query)):
        raise InvalidInput(_selection_problem(query, both=bool(ids)))
    from msgctl.operations.messages.search import MessageSearch  # noqa: PLC0415 - counting needs no search

    search = session.context.get(MessageSearch)
    if ids:
        found = {item.message_id: item async for batch in search.read(list(dict.fromkeys(ids))) for item in batch}
        if not found:
            raise no_such_message(*ids)
        return list(found.values())
    matching = await search.all(query, gone=gone if every else None)
    if not matching and not gone:
        raise NothingMatched("Nothing matches.")
    return matching[:limit]


def no_such_message(*ids: str) -> NotFound:
    """What to say of ids that no message has."""
    named = f"{', '.join(ids[:MAX_NAMED_IDS])}{' …' if len(ids) > MAX_NAMED_IDS else ''}"
    return NotFound(
        f"There is no such message: {named}. An id counts as a whole, not its beginning. See: msgctl message list"
    )


async def name_missing_message(message_id: str, lookup: Awaitable[T]) -> T:
    """What a look at one message finds.

    Args:
        message_id: of the message, for the error.
        lookup: raises `NotFound` if there is no such message.

    Raises:
        NotFound: there is none; the text names the id.
    """
    try:
        return await lookup
    except NotFound as error:
        if error.message == not_found("message").message:
            raise no_such_message(message_id) from None
        raise


def _with_parameters(command: Callable[..., None], parameters: Iterable[inspect.Parameter]) -> Callable[..., None]:
    """The command with these parameters, which are what typer reads."""
    ordered = sorted(parameters, key=lambda parameter: parameter.kind)
    command.__signature__ = inspect.Signature(ordered)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in ordered}
    return command


def _selection_problem(query: Query, *, both: bool) -> str:
    """What to say instead: ids and a query together, or a query that narrows nothing down."""
    if both:
        return "Name the messages, or give a query or --all; not both."
    if query.state:
        return f"That is every {query.state} message: narrow it down, e.g. with --since 2h, or say --all."
    return "Name the messages, or give a query such as --since 2h, or say --all."


def _build_query(values: Mapping[str, Any]) -> Query:
    durations = {name: parse_duration(values[name]) for name in ("since", "until") if values[name]}
    return Query(**{**values, **durations})
