"""`msgctl agent`: the AI agents messages are written to."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from msgctl.cli._noun import noun
from msgctl.cli._output import Output, RecordOutput, RecordShape, Shape, print_json, print_listing, print_text
from msgctl.cli._session import run
from msgctl.errors import InvalidInput

app = noun("The AI agents messages are written to.")

COLUMNS = {"id": "id", "userId": "user", "name": "name", "webhookPath": "webhook", "active": "active"}


@app.command(epilog="Example: msgctl agent add --user ana --name Support --webhook support/chat")
def add(
    context: typer.Context,
    *,
    user: Annotated[str, typer.Option(help="Its owner: the `sub` of the tokens that may write to it.")],
    name: Annotated[str, typer.Option(help="What it is called.")],
    webhook: Annotated[str, typer.Option(metavar="PATH", help="The path of its workflow behind n8n's /webhook/.")],
    prompt: Annotated[str, typer.Option(help="Its system prompt.")] = "",
    prompt_file: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="A file with its system prompt.")
    ] = None,
    output: RecordOutput = RecordShape.TABLE,
) -> None:
    """Add an agent and print its id."""
    text = _read(prompt_file) if prompt_file else prompt
    agent = run(
        context,
        lambda session: session.agents.add(user_id=user, name=name, webhook_path=webhook, system_prompt=text),
    )
    if output is RecordShape.JSON:
        print_json({"schema": "msgctl.agent/1", **msgspec.to_builtins(agent)})
    else:
        print_text(agent.id)


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError:
        raise InvalidInput(f"{file} is no text in UTF-8.") from None


@app.command("list", epilog="Example: msgctl agent list --user ana")
def list_agents(
    context: typer.Context,
    user: Annotated[str | None, typer.Option(help="Only this user's.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 1000,
    output: Output = Shape.TABLE,
) -> None:
    """The agents, oldest first."""
    agents = run(context, lambda session: session.agents.list(user, limit=limit))
    print_listing(
        msgspec.to_builtins(agents), output, schema="msgctl.agent/1", columns=COLUMNS, extra={"limit": limit}
    )
