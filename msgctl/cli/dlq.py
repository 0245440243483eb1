"""`msgctl dlq`: the dead letters."""

from typing import Annotated, Any

import typer

from msgctl.cli._confirm import confirm
from msgctl.cli._noun import noun
from msgctl.cli._output import Output, Shape, note, print_listing
from msgctl.cli._session import Session, run
from msgctl.cli._time import ago, rfc3339
from msgctl.errors import Incomplete, InvalidInput, NotFound, NothingMatched

app = noun("The dead letters: list them, replay them.")

COLUMNS = {"messageId": "id", "when": "failed", "code": "error", "text": "", "attempts": "attempts"}


@app.command("list", epilog="Example: msgctl dlq list --limit 20")
def list_letters(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 100,
    output: Output = Shape.TABLE,
) -> None:
    """The dead letters, newest first."""
    total, letters = run(context, lambda session: _newest(session, limit))
    if output is Shape.TABLE and total > len(letters):
        note(f"The newest {len(letters)} of {total}; --limit shows more.")
    print_listing(
        [_for_people(letter) if output is Shape.TABLE else _for_machines(letter) for letter in letters],
        output,
        schema="msgctl.dead-letter/1",
        columns=COLUMNS,
        key="messageId",
        extra={"total": total, "limit": limit},
    )


@app.command(epilog="Example: msgctl dlq replay 0b9e7c2e-6a51-4f0e-9b51-8f4f0f6f7a10")
def replay(
    context: typer.Context,
    *,
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Which dead letters.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All of them, as of now.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    output: Output = Shape.TABLE,
) -> None:
    """Put dead letters back to work with a fresh budget of attempts."""
    if bool(ids) == every:
        raise InvalidInput("Name the dead letters to replay, or say --all.")
    outcomes = run(context, lambda session: _replay(session, ids, dry_run=dry_run, yes=yes, output=output))
    print_listing(
        outcomes,
        output,
        schema="msgctl.replay/1",
        columns={"messageId": "id", "outcome": "outcome"},
        key="messageId",
    )
    _judge(outcomes)


async def _newest(session: Session, limit: int) -> tuple[int, list[dict[str, Any]]]:
    letters = session.operations.dead_letters
    return await letters.count(), await letters.newest(limit)


async def _replay(
    session: Session, named: list[str] | None, *, dry_run: bool, yes: bool, output: Shape
) -> list[dict[str, Any]]:
    letters = session.operations.dead_letters
    ids = named or await letters.ids()
    if not ids:
        raise NothingMatched("There are no dead letters.")
    if dry_run:
        return [{"messageId": message_id, "outcome": "would_replay"} for message_id in ids]
    if not named:
        confirm(f"{len(ids)} dead letters will be replayed.", yes=yes, machine=output is not Shape.TABLE)
    return [
        {"messageId": replayed.message_id, "outcome": replayed.outcome} async for replayed in letters.replay(ids)
    ]


def _judge(outcomes: list[dict[str, Any]]) -> None:
    skipped = [outcome for outcome in outcomes if outcome["outcome"] in {"missing", "not_failed"}]
    if len(skipped) == len(outcomes) and all(outcome["outcome"] == "missing" for outcome in skipped):
        raise NotFound("There is no such message.")
    if skipped:
        raise Incomplete(f"{len(skipped)} of {len(outcomes)} were not replayed: they are no dead letters.")


def _for_people(letter: dict[str, Any]) -> dict[str, Any]:
    error = letter["error"] or {}
    return {**letter, "when": ago(letter["finishedOn"]), "code": error.get("code"), "text": error.get("text")}


def _for_machines(letter: dict[str, Any]) -> dict[str, Any]:
    return {**letter, "finishedAt": rfc3339(letter["finishedOn"])}
