"""The one query that every noun understands: its options, and which messages it means."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from msgctl.cli._complete import complete_agents, complete_groups, complete_ids
from msgctl.cli._session import Session
from msgctl.cli._time import parse_duration
from msgctl.errors import InvalidInput, NotFound, NothingMatched
from msgctl.messages import Channel, State
from msgctl.operations.query import Query

if TYPE_CHECKING:
    from msgctl.operations.selection import Summary

Ids = Annotated[
    list[str] | None,
    typer.Argument(metavar="ID", help="Which ones; else a query.", autocompletion=complete_ids),
]
Every = Annotated[bool, typer.Option("--all", help="All of them, where no query narrows it down.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Limit = Annotated[int | None, typer.Option(min=1, help="So many at most, the oldest.")]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why, for the journal.")]

OPTIONS: dict[str, Any] = {
    "state": Annotated[State | None, typer.Option(help="Only in this state.")],
    "channel": Annotated[Channel | None, typer.Option(help="Only of this channel.")],
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


def queried(command: Callable[..., None], *, state: State | None = None) -> Callable[..., None]:
    """Give a command the options of a query in place of its parameter `query`.

    Args:
        command: takes `query`.
        state: the one state its noun is about; it has no `--state` then.
    """
    options = {name: option for name, option in OPTIONS.items() if name != "state" or state is None}
    own = inspect.signature(command, eval_str=True).parameters
    kept = [parameter for name, parameter in own.items() if name != "query"]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=option)
        for name, option in options.items()
    ]

    @functools.wraps(command)
    def queries(**given: Any) -> None:
        values = {name: given.pop(name) for name in options}
        command(query=_query({"state": state, **values}), **given)

    parameters = sorted([*kept, *added], key=lambda parameter: parameter.kind)
    queries.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what typer reads
    queries.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return queries


def letters(command: Callable[..., None]) -> Callable[..., None]:
    """The same for a command about dead letters."""
    return queried(command, state=State.FAILED)


def is_open(query: Query) -> bool:
    """Whether nothing but perhaps the state narrows it down."""
    return query == Query(state=query.state)


def as_record(query: Query) -> dict[str, Any]:
    """What was asked for, for the journal and for plans."""
    return {name: value for name, value in msgspec.to_builtins(query).items() if value is not None}


async def choose(
    session: Session,
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
    if bool(ids) == (every or not is_open(query)):
        raise InvalidInput(_unclear(query, both=bool(ids)))
    selection = session.operations.selection
    if ids:
        found = {
            item.message_id: item async for batch in selection.read(list(dict.fromkeys(ids))) for item in batch
        }
        if not found:
            raise NotFound("There is no such message.")
        return list(found.values())
    matching = await selection.all(query, gone=gone if every else None)
    if not matching and not gone:
        raise NothingMatched("No message answers to this.")
    return matching[:limit]


def _unclear(query: Query, *, both: bool) -> str:
    """What to say instead: ids and a query together, or a query that narrows nothing down."""
    if both:
        return "Name the messages, or give a query or --all; not both."
    if query.state:
        return f"That is every {query.state} message: narrow it down, e.g. with --since 2h, or say --all."
    return "Name the messages, or give a query such as --since 2h, or say --all."


def _query(values: Mapping[str, Any]) -> Query:
    durations = {name: parse_duration(values[name]) for name in ("since", "until") if values[name]}
    return Query(**{**values, **durations})
