"""`msgctl agent`: add, list, show, enable, and disable AI agents."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from msgctl.cli.framework.audit import record_action
from msgctl.cli.framework.bulk_input import find_agent_id, read_text
from msgctl.cli.framework.completion import complete_agents
from msgctl.cli.framework.help import make_noun_group
from msgctl.cli.framework.options import (
    ListLimitOption,
    OutputFormat,
    OutputOption,
    ReasonOption,
    RecordFormat,
    RecordOutputOption,
)
from msgctl.cli.framework.output import print_json, print_listing, print_note, print_record, print_text
from msgctl.cli.framework.query import accepts_yes
from msgctl.cli.framework.session import CommandSession, run_with_session
from msgctl.cli.views.agent import describe_agent
from msgctl.domain.errors import Incomplete, NotFound, Unavailable

if TYPE_CHECKING:
    from msgctl.agents.agents import Agent
    from msgctl.operations.workflow_trial import WorkflowTrial

app = make_noun_group("Add, list, show, set up, test, enable, and disable AI agents.")

TEST_TEXT = "Hello! This is a test of msgctl."
COLUMNS = {"id": "id", "userId": "user", "name": "name", "webhookPath": "webhook", "active": "active"}


@app.command(epilog="Example: msgctl agent add --user ana --name Support --webhook support/chat")
def add(
    context: typer.Context,
    *,
    user: Annotated[str, typer.Option(help="Owner: the `sub` of the tokens that may use it.")],
    name: Annotated[str, typer.Option(help="Name of the agent.")],
    webhook: Annotated[
        str,
        typer.Option(metavar="PATH", help="Path of its n8n workflow, without /webhook/, or the URL n8n shows."),
    ],
    prompt: Annotated[str, typer.Option(help="System prompt.")] = "",
    prompt_file: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="File with the system prompt.")
    ] = None,
    output: RecordOutputOption = RecordFormat.TABLE,
) -> None:
    """Add an agent and print its id."""
    system_prompt = read_text(prompt_file) if prompt_file else prompt

    async def body(session: CommandSession) -> "tuple[Agent, list[str]]":
        agents = session.agents
        agent = await agents.add(user_id=user, name=name, webhook_path=webhook, system_prompt=system_prompt)
        namesakes = [other.id for other in await agents.list(user) if other.name == name and other.id != agent.id]
        return agent, namesakes

    agent, namesakes = run_with_session(context, body)
    if agent.webhook_path != webhook:
        print_note(f"The webhook path is stored as {agent.webhook_path}.{_test_url_hint(webhook)}")
    if namesakes:
        print_note(f"User {user} already has an agent of this name: {', '.join(namesakes)}")
    if output is RecordFormat.JSON:
        print_json({"schema": "msgctl.agent/1", **agent.to_record()})
    else:
        print_text(agent.id)


def _test_url_hint(webhook: str) -> str:
    """Return the difference between the URLs of n8n, if the test URL was given."""
    is_test_url = "webhook-test/" in webhook
    return " Messages go to the production URL, so activate the workflow in n8n." if is_test_url else ""


@app.command("list", epilog="Example: msgctl agent list --user ana")
def list_agents(
    context: typer.Context,
    user: Annotated[str | None, typer.Option(help="Only agents of this user.")] = None,
    limit: ListLimitOption = 1000,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """List agents, oldest first."""
    agents = run_with_session(context, lambda session: session.agents.list(user, limit=limit))
    records = [agent.to_record() for agent in agents]
    print_listing(records, output, schema="msgctl.agent/1", columns=COLUMNS, extra={"limit": limit})


AgentArgument = Annotated[
    str, typer.Argument(metavar="AGENT", help="Id or name of the agent.", autocompletion=complete_agents)
]


@app.command(epilog="Example: msgctl agent show 0b9e7c2e-6a51-4f0e-9b51-8f4f0f6f7a10")
def show(context: typer.Context, agent: AgentArgument, output: RecordOutputOption = RecordFormat.TABLE) -> None:
    """Show an agent as the worker gets it, with the source of each setting."""

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
        list[str],
        typer.Argument(
            metavar="NAME=VALUE", help="Setting and value. Without a value, the configuration applies again."
        ),
    ],
    *,
    reason: ReasonOption = "",
) -> None:
    """Override settings of the configuration for one agent, e.g. format=auto, plain, or as-is."""

    async def body(session: CommandSession) -> "Agent":
        from msgctl.agents.agent_settings import parse_changes  # noqa: PLC0415 - pydantic takes 0.1 s

        values = parse_changes(changes)
        former = await _find(session, agent)
        before = {name: getattr(former.settings, name) for name in values}
        updated = await session.agents.change_settings(former.id, values)
        if updated is None:
            raise _no_such_agent(agent)
        await record_action(session, "agent set", [updated.id], reason=reason, before=before, after=values)
        return updated

    updated = run_with_session(context, body)
    own = updated.settings.model_dump(exclude_none=True)
    text = ", ".join(f"{name}={value}" for name, value in own.items()) or "as configured"
    print_note(f"set: {updated.id} {text}")


async def _find(session: CommandSession, agent: str) -> "Agent":
    found = await session.agents.find(await _resolve_id(session, agent))
    if found is None:
        raise _no_such_agent(agent)
    return found


def _no_such_agent(agent: str) -> NotFound:
    return NotFound(f"There is no such agent: {agent}. See: msgctl agent list")


async def _resolve_id(session: CommandSession, agent: str) -> str:
    """Return the id of an agent. In the operator's own table, ids can be any text and names are unknown."""
    return agent if session.settings.postgres.agent_query else await find_agent_id(session, agent, None)


@app.command("test", epilog="Example: msgctl agent test Support --text 'What does delivery cost?'")
def call_workflow(
    context: typer.Context,
    agent: AgentArgument,
    *,
    text: Annotated[str, typer.Option(help="Question that the workflow is asked.")] = TEST_TEXT,
    output: RecordOutputOption = RecordFormat.TABLE,
) -> None:
    """Call the workflow of an agent once, and print what came and how a worker would read it.

    Exit 4 if the answer is not usable, 69 if n8n is down. Nothing is queued or sent to a channel.
    """
    from msgctl.operations.workflow_trial import try_workflow  # noqa: PLC0415 - few commands call n8n

    async def body(session: CommandSession) -> "WorkflowTrial":
        return await try_workflow(session.settings, await _find(session, agent), text)

    trial = run_with_session(context, body)
    print_record(trial.to_record(), output, schema="msgctl.agent-test/1")
    if trial.is_unreachable:
        raise Unavailable(trial.advice)
    if trial.code:
        again = "A worker would try again." if trial.retried else "A message would fail at the first attempt."
        raise Incomplete(f"{trial.advice} {again}")


@app.command(epilog="Example: msgctl agent disable 0b9e7c2e-6a51-4f0e-9b51-8f4f0f6f7a10 --reason 'costs too much'")
@accepts_yes
def disable(context: typer.Context, agent: AgentArgument, *, reason: ReasonOption = "") -> None:
    """Disable an agent. New messages are refused, and waiting ones become dead letters, which can be replayed."""
    run_with_session(context, lambda session: _set_active(session, agent, reason, active=False))


@app.command(epilog="Example: msgctl agent enable 0b9e7c2e-6a51-4f0e-9b51-8f4f0f6f7a10")
@accepts_yes
def enable(context: typer.Context, agent: AgentArgument, *, reason: ReasonOption = "") -> None:
    """Enable an agent, so that it gets messages again."""
    run_with_session(context, lambda session: _set_active(session, agent, reason, active=True))


async def _set_active(session: CommandSession, agent: str, reason: str, *, active: bool) -> None:
    agent_id = await _resolve_id(session, agent)
    if await session.agents.set_active(agent_id, active=active) is None:
        raise _no_such_agent(agent_id)
    await record_action(
        session, f"agent {'enable' if active else 'disable'}", [agent_id], reason=reason, after=active
    )
    print_note(f"{'enabled' if active else 'disabled'}: {agent_id}")
