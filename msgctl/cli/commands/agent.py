"""`msgctl agent`: the AI agents messages are written to."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from msgctl.cli.framework.audit import record_action
from msgctl.cli.framework.bulk_input import find_agent_by_name
from msgctl.cli.framework.completion import complete_agents
from msgctl.cli.framework.groups import make_noun_group
from msgctl.cli.framework.output import (
    OutputFormat,
    OutputOption,
    RecordFormat,
    RecordOutputOption,
    print_json,
    print_listing,
    print_note,
    print_record,
    print_text,
)
from msgctl.cli.framework.query import ReasonOption, accepts_yes
from msgctl.cli.framework.session import CommandSession, run_with_session
from msgctl.cli.views.agent import describe_agent
from msgctl.domain.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from msgctl.agents.agents import Agent

app = make_noun_group("The AI agents messages are written to.")

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
    output: RecordOutputOption = RecordFormat.TABLE,
) -> None:
    """Add an agent and print its id."""
    text = _read_prompt(prompt_file) if prompt_file else prompt

    async def body(session: CommandSession) -> "tuple[Agent, list[str]]":
        agents = session.agents
        agent = await agents.add(user_id=user, name=name, webhook_path=webhook, system_prompt=text)
        others = [one.id for one in await agents.list(user) if one.name == name and one.id != agent.id]
        return agent, others

    agent, others = run_with_session(context, body)
    if others:
        print_note(f"{user} already has an agent of this name: {', '.join(others)}")
    if output is RecordFormat.JSON:
        print_json({"schema": "msgctl.agent/1", **agent.to_record()})
    else:
        print_text(agent.id)


def _read_prompt(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError:
        raise InvalidInput(f"{file} is no text in UTF-8.") from None


@app.command("list", epilog="Example: msgctl agent list --user ana")
def list_agents(
    context: typer.Context,
    user: Annotated[str | None, typer.Option(help="Only this user's.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 1000,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """The agents, oldest first."""
    agents = run_with_session(context, lambda session: session.agents.list(user, limit=limit))
    print_listing(
        [agent.to_record() for agent in agents],
        output,
        schema="msgctl.agent/1",
        columns=COLUMNS,
        extra={"limit": limit},
    )


AgentArgument = Annotated[
    str, typer.Argument(metavar="AGENT", help="Its id, or its name.", autocompletion=complete_agents)
]


@app.command(epilog="Example: msgctl agent show 0b9e7c2e-6a51-4f0e-9b51-8f4f0f6f7a10")
def show(context: typer.Context, agent: AgentArgument, output: RecordOutputOption = RecordFormat.TABLE) -> None:
    """One agent, as the worker will find it."""

    async def body(session: CommandSession) -> dict[str, Any]:
        found = await _find(session, agent)
        return describe_agent(found, session.settings, as_json=output is RecordFormat.JSON)

    print_record(run_with_session(context, body), output, schema="msgctl.agent/1")


@app.command("set", epilog="Example: msgctl agent set Support format=plain")
@accepts_yes
def set_(
    context: typer.Context,
    agent: AgentArgument,
    changes: Annotated[
        list[str], typer.Argument(metavar="NAME=VALUE", help="Setting and value; no value: as configured.")
    ],
    *,
    reason: ReasonOption = "",
) -> None:
    """Set what one agent does otherwise than the configuration says, e.g. format=auto, plain or as-is."""

    async def body(session: CommandSession) -> "Agent":
        from msgctl.agents.agent_settings import parse_changes  # noqa: PLC0415 - pydantic takes 0.1 s

        values = parse_changes(changes)
        former = await _find(session, agent)
        before = {name: getattr(former.settings, name) for name in values}
        found = await session.agents.change_settings(former.id, values)
        if found is None:
            raise NotFound(f"There is no such agent: {agent}. See: msgctl agent list")
        await record_action(session, "agent set", [found.id], reason=reason, before=before, after=values)
        return found

    found = run_with_session(context, body)
    own = found.settings.model_dump(exclude_none=True)
    shown = ", ".join(f"{name}={value}" for name, value in own.items()) or "as configured"
    print_note(f"set: {found.id} {shown}")


async def _resolve_id(session: CommandSession, word: str) -> str:
    """In the operator's own table, ids are what they are, and names are not known."""
    return word if session.settings.postgres.agent_query else await find_agent_by_name(session, word, None)


async def _find(session: CommandSession, word: str) -> "Agent":
    found = await session.agents.find(await _resolve_id(session, word))
    if found is None:
        raise NotFound(f"There is no such agent: {word}. See: msgctl agent list")
    return found


@app.command(epilog="Example: msgctl agent disable 0b9e7c2e-6a51-4f0e-9b51-8f4f0f6f7a10 --reason 'costs too much'")
@accepts_yes
def disable(context: typer.Context, agent: AgentArgument, *, reason: ReasonOption = "") -> None:
    """Refuse new messages to an agent; those that wait become dead letters, to be replayed once it is back."""
    run_with_session(context, lambda session: _set_active(session, agent, reason, active=False))


@app.command(epilog="Example: msgctl agent enable 0b9e7c2e-6a51-4f0e-9b51-8f4f0f6f7a10")
@accepts_yes
def enable(context: typer.Context, agent: AgentArgument, *, reason: ReasonOption = "") -> None:
    """Take messages to an agent again."""
    run_with_session(context, lambda session: _set_active(session, agent, reason, active=True))


async def _set_active(session: CommandSession, word: str, reason: str, *, active: bool) -> None:
    agent_id = await _resolve_id(session, word)
    if await session.agents.set_active(agent_id, active=active) is None:
        raise NotFound(f"There is no such agent: {agent_id}. See: msgctl agent list")
    await record_action(
        session, f"agent {'enable' if active else 'disable'}", [agent_id], reason=reason, after=active
    )
    print_note(f"{'enabled' if active else 'disabled'}: {agent_id}")
