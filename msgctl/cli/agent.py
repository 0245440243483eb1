"""`msgctl agent`: the AI agents messages are written to."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from msgctl.cli._acts import note_act
from msgctl.cli._complete import complete_agents
from msgctl.cli._many import agent_called
from msgctl.cli._noun import noun
from msgctl.cli._output import (
    Output,
    RecordOutput,
    RecordShape,
    Shape,
    note,
    print_json,
    print_listing,
    print_record,
    print_text,
)
from msgctl.cli._query import Reason, unasked
from msgctl.cli._session import Session, run
from msgctl.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from msgctl.agents.agent import Agent

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

    async def body(session: Session) -> "tuple[Agent, list[str]]":
        agents = session.agents
        agent = await agents.add(user_id=user, name=name, webhook_path=webhook, system_prompt=text)
        others = [one.id for one in await agents.list(user) if one.name == name and one.id != agent.id]
        return agent, others

    agent, others = run(context, body)
    if others:
        note(f"{user} already has an agent of this name: {', '.join(others)}")
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


AgentWord = Annotated[
    str, typer.Argument(metavar="AGENT", help="Its id, or its name.", autocompletion=complete_agents)
]


@app.command(epilog="Example: msgctl agent show 0b9e7c2e-6a51-4f0e-9b51-8f4f0f6f7a10")
def show(context: typer.Context, agent: AgentWord, output: RecordOutput = RecordShape.TABLE) -> None:
    """One agent, as the worker will find it."""
    found = run(context, lambda session: _find(session, agent))
    print_record(msgspec.to_builtins(found), output, schema="msgctl.agent/1")


async def _id_of(session: Session, word: str) -> str:
    """In the operator's own table, ids are what they are, and names are not known."""
    return word if session.settings.postgres.agent_query else await agent_called(session, word, None)


async def _find(session: Session, word: str) -> "Agent":
    found = await session.agents.find(await _id_of(session, word))
    if found is None:
        raise NotFound(f"There is no such agent: {word}. See: msgctl agent list")
    return found


@app.command(epilog="Example: msgctl agent disable 0b9e7c2e-6a51-4f0e-9b51-8f4f0f6f7a10 --reason 'costs too much'")
@unasked
def disable(context: typer.Context, agent: AgentWord, *, reason: Reason = "") -> None:
    """Refuse new messages to an agent; those that wait become dead letters, to be replayed once it is back."""
    run(context, lambda session: _switch(session, agent, reason, active=False))


@app.command(epilog="Example: msgctl agent enable 0b9e7c2e-6a51-4f0e-9b51-8f4f0f6f7a10")
@unasked
def enable(context: typer.Context, agent: AgentWord, *, reason: Reason = "") -> None:
    """Take messages to an agent again."""
    run(context, lambda session: _switch(session, agent, reason, active=True))


async def _switch(session: Session, word: str, reason: str, *, active: bool) -> None:
    agent_id = await _id_of(session, word)
    if await session.agents.switch(agent_id, active=active) is None:
        raise NotFound(f"There is no such agent: {agent_id}. See: msgctl agent list")
    await note_act(session, f"agent {'enable' if active else 'disable'}", [agent_id], reason=reason, after=active)
    note(f"{'enabled' if active else 'disabled'}: {agent_id}")
