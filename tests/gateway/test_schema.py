"""The gateway keeps what its OpenAPI document promises, down to the last error body: schemathesis, all checks."""

import asyncio
import os
import sys
from pathlib import Path

from msgctl.agents.agents import Agent
from msgctl.auth import tokens
from msgctl.config.settings import Settings
from tests.support.paths import ROOT
from tests.support.schema_hooks import AGENT
from tools.support.daemons import Daemon

EXAMPLES = os.environ.get("FUZZ_EXAMPLES", "8")
"""How many requests of each kind are made: few in `make test`, many in `make fuzz`."""

EXPECTED = """
[[operations]]
include-operation-id = "readHealth"
[operations.checks]
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "503"]

[[operations]]
include-operation-id = "openSocket"
[operations.checks]
positive_data_acceptance.expected-statuses = ["426"]
"""
"""What is no fault: an unhealthy pipeline is a 503 by contract, and a WebSocket's route asks for an upgrade."""


async def test_gateway_conforms_to_its_document(settings: Settings, agent: Agent, tmp_path: Path) -> None:
    """Good requests, bad ones, missing tokens, other methods, and what follows from an answer: no surprise."""
    async with Daemon("gateway", settings) as daemon:
        token = tokens.issue(settings, "ana", 3600)
        (tmp_path / "schemathesis.toml").write_text(EXPECTED)
        url = daemon.status.removeprefix("listening at ")
        process = await asyncio.create_subprocess_exec(
            *(str(Path(sys.executable).with_name("schemathesis")), "run", f"{url}/openapi.json"),
            *("--header", f"Authorization: Bearer {token}", "--checks", "all", "--max-examples", EXAMPLES),
            *("--phases", "examples,coverage,fuzzing,stateful", "--continue-on-failure", "--no-color"),
            *("--request-timeout", "30", "--warnings", "off"),
            cwd=tmp_path,
            env={
                **os.environ,
                "SCHEMATHESIS_HOOKS": "tests.support.schema_hooks",
                "PYTHONPATH": str(ROOT),
                AGENT: agent.id,
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()
    assert "Traceback" not in daemon.output, daemon.output
