"""`msgctl worker drain`, `resume`, and `stop`, with a real worker."""

from typing import Any

from msgctl.config.settings import Settings
from msgctl.domain.messages import State
from msgctl.local.fakes.n8n import FakeN8n, N8nBehavior
from tests.support.command_line import Invoke
from tools.support.daemons import Daemon, until


async def test_drain_wait_names_running_message(
    msgctl: Invoke, settings: Settings, agent_id: str, n8n: FakeN8n
) -> None:
    """It returns once the message has ended. `resume` undoes the drain."""
    n8n.reset(N8nBehavior(delay=10000))
    send = ("message", "send", "hi", "--user", "ana", "--agent", agent_id, "--id")
    async with Daemon("worker", settings) as worker:
        assert (await msgctl(*send, "running")).code == 0
        await until(lambda: n8n.calls_by_message["running"], "the call")
        drained = await msgctl("worker", "drain", "--all", "--wait")
        assert (drained.code, drained.stdout) == (0, "")
        assert "runs running" in drained.stderr
        await worker.said("Drained")
        assert (await msgctl(*send, "next")).code == 0
        assert (await msgctl("stats", "-o", "json")).json["waiting"] == 1
        assert (await msgctl("worker", "resume", "--all")).code == 0
        n8n.reset()

        async def answered() -> Any:
            shown = await msgctl("status", "next", "-o", "json")
            return shown.json["state"] == State.COMPLETED

        await until(answered, "the next message to be answered")


async def test_stop_ends_worker_process(msgctl: Invoke, settings: Settings) -> None:
    """The process exits with 0. An unknown name exits with 3, no name with 2, and no live worker with 5."""
    async with Daemon("worker", settings) as worker:
        assert (await msgctl("worker", "stop", "nobody")).code == 3
        assert (await msgctl("worker", "stop")).code == 2
        assert (await msgctl("worker", "stop", "--all", "--wait")).code == 0
        assert await worker.exited() == 0
    assert (await msgctl("worker", "drain", "--all")).code == 5
