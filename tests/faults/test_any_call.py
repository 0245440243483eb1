"""A fault in any one Redis call of a message loses, duplicates, blocks, and reorders nothing.

This is the short form with selected calls. `make chaos` tests each call.
"""

import pytest

from msgctl.agents.agents import Agents
from msgctl.config.settings import Settings
from msgctl.local.fakes.n8n import FakeN8n
from msgctl.operations.checks.invariants import verify
from tools.support.fault_proxy import Fault
from tools.support.scenario import Story


@pytest.fixture
async def scenario(settings: Settings, n8n: FakeN8n, monkeypatch: pytest.MonkeyPatch) -> Story:
    """Return the scenario into which the faults are injected."""
    monkeypatch.setattr(verify, "CONFIRMATION_INTERVAL_S", 0.05)
    async with Agents(settings) as agents:
        agent = await agents.add(user_id="u", name="Ana", webhook_path="chat")
    return Story(settings, n8n, agent.id)


async def test_scenario_without_a_fault(scenario: Story) -> None:
    """Without a fault each message is answered by one call of n8n, and no invariant is violated."""
    outcome = await scenario.tell()
    assert outcome.is_whole, outcome
    assert (outcome.extra_calls, outcome.crashes) == (0, 1)


@pytest.mark.parametrize("at", [6, 9, 12, 15, 18])
async def test_broken_connection_costs_no_call_and_no_crash(scenario: Story, at: int) -> None:
    """A command that did not arrive is sent again. n8n gets no further call, and no crash is counted."""
    outcome = await scenario.tell(Fault.DROP, at)
    assert outcome.is_whole, outcome
    assert (outcome.extra_calls, outcome.crashes) == (0, 1)


@pytest.mark.parametrize("at", [6, 8, 10, 12, 14, 16, 18])
async def test_lost_reply_costs_no_call_and_no_crash(scenario: Story, at: int) -> None:
    """A command whose reply was lost is sent again without harm. n8n gets no further call."""
    outcome = await scenario.tell(Fault.SWALLOW, at)
    assert outcome.is_whole, outcome
    assert (outcome.extra_calls, outcome.crashes) == (0, 1)


@pytest.mark.parametrize("at", [9, 13, 17, 21])
async def test_killed_worker_loses_no_message(scenario: Story, at: int) -> None:
    """Another worker processes its messages. n8n may be called again, but each customer gets one reply."""
    outcome = await scenario.tell(Fault.KILL, at)
    assert outcome.is_whole, outcome


@pytest.mark.parametrize("fault", list(Fault))
async def test_client_without_an_answer_can_repeat_its_message(scenario: Story, fault: Fault) -> None:
    """After any fault during the acceptance the client can repeat its message, and it runs once."""
    outcome = await scenario.enter(fault, 1)
    assert outcome.command == "EVALSHA"
    assert outcome.is_whole, outcome
    assert outcome.extra_calls == 0
