"""Whatever happens to any one call of Redis in a message's life, nothing is lost, doubled, stuck or out of order.

The short form: calls spread over the life. `make chaos` strikes at each of them.
"""

import pytest

from msgctl.agents.store import Agents
from msgctl.config.settings import Settings
from msgctl.local.fakes.n8n import FakeN8n
from msgctl.operations.checks.invariants import verify
from tools.support.fault_proxy import Fault
from tools.support.scenario import Story


@pytest.fixture
async def story(settings: Settings, n8n: FakeN8n, monkeypatch: pytest.MonkeyPatch) -> Story:
    """The life to be disturbed."""
    monkeypatch.setattr(verify, "CONFIRMATION_INTERVAL_S", 0.05)
    async with Agents(settings) as agents:
        agent = await agents.add(user_id="u", name="Ana", webhook_path="chat")
    return Story(settings, n8n, agent.id)


async def test_an_undisturbed_life(story: Story) -> None:
    """Without a fault each message is answered by one call, and nothing is broken."""
    outcome = await story.tell()
    assert outcome.is_whole, outcome
    assert (outcome.extra_calls, outcome.crashes) == (0, 1)


@pytest.mark.parametrize("at", [6, 9, 12, 15, 18])
async def test_a_connection_that_breaks(story: Story, at: int) -> None:
    """A command that never arrived is sent again; n8n is called no oftener, and no crash is charged."""
    outcome = await story.tell(Fault.DROP, at)
    assert outcome.is_whole, outcome
    assert (outcome.extra_calls, outcome.crashes) == (0, 1)


@pytest.mark.parametrize("at", [6, 8, 10, 12, 14, 16, 18])
async def test_a_reply_that_is_lost(story: Story, at: int) -> None:
    """A command that was done and is sent again does no harm; n8n is called no oftener."""
    outcome = await story.tell(Fault.SWALLOW, at)
    assert outcome.is_whole, outcome
    assert (outcome.extra_calls, outcome.crashes) == (0, 1)


@pytest.mark.parametrize("at", [9, 13, 17, 21])
async def test_a_worker_that_is_killed(story: Story, at: int) -> None:
    """Another worker takes over what the killed one ran; n8n may be called again, no customer hears twice."""
    outcome = await story.tell(Fault.KILL, at)
    assert outcome.is_whole, outcome


@pytest.mark.parametrize("fault", list(Fault))
async def test_a_client_that_gets_no_answer(story: Story, fault: Fault) -> None:
    """Whatever happens while a message is accepted, the client may ask again, and it runs once."""
    outcome = await story.enter(fault, 1)
    assert outcome.command == "EVALSHA"
    assert outcome.is_whole, outcome
    assert outcome.extra_calls == 0
