"""`msgctl smoke`: send messages through the HTTP API and the WebSocket, and check the replies."""

import asyncio
import re
from pathlib import Path
from typing import Annotated, Any
from xml.etree import ElementTree as ET

import typer

from msgctl.channels.registry import find_channel
from msgctl.cli.framework.channel_option import CHOICES, parse_channel
from msgctl.cli.framework.completion import complete_agents
from msgctl.cli.framework.context import global_options_of
from msgctl.cli.framework.gateway_client import gateway_url
from msgctl.cli.framework.options import OutputFormat, RecordFormat, RecordOutputOption, TimeoutOption
from msgctl.cli.framework.output import print_json, print_listing
from msgctl.domain.errors import Incomplete, InvalidInput, Refused
from msgctl.domain.messages import Channel
from msgctl.domain.times import parse_duration
from msgctl.intake.accept import UUID_PATTERN
from msgctl.operations.checks.smoke import SmokeCase, SmokePlan, SmokeTest

COLUMNS = {"case": "case", "passed": "passed", "seconds": "seconds", "problem": "problem"}


def smoke(
    context: typer.Context,
    *,
    url: Annotated[str, typer.Option(help="URL of the gateway. Default: [gateway] host and port.")] = "",
    token: Annotated[
        str,
        typer.Option(envvar="MSGCTL_SMOKE_TOKEN", help="Token of the agent's owner, best in the environment."),
    ] = "",
    agent: Annotated[
        str, typer.Option(metavar="ID", help="Id of the agent.", autocompletion=complete_agents)
    ] = "",
    channel: Annotated[
        Channel,
        typer.Option(
            parser=parse_channel,
            metavar=CHOICES,
            help="Channel of the messages. `web` reads replies from the WebSocket.",
        ),
    ] = Channel.WEB,
    to: Annotated[
        str,
        typer.Option(
            help="Address of the replies. Every channel but `web` needs one, e.g. the URL of a callback."
        ),
    ] = "",
    count: Annotated[int, typer.Option(min=1, max=10_000, help="Number of messages.")] = 20,
    timeout: TimeoutOption = "60s",
    budget: Annotated[str, typer.Option(metavar="DURATION", help="Maximum time for one reply.")] = "30s",
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write JUnit XML to this file.")] = None,
    output: RecordOutputOption = RecordFormat.TABLE,
) -> None:
    """Send messages in one conversation, half by the HTTP API and half by the WebSocket, and check the replies.

    Each message must get one reply, in order and within its budget. Exit code 4 if one does not, 69 if the gateway
    does not answer.

    Example: msgctl smoke --url http://127.0.0.1:3000 --token "$TOKEN" --agent "$AGENT" --count 20 --timeout 60
    """
    if not token:
        raise InvalidInput("Give --token, or set MSGCTL_SMOKE_TOKEN. Issue one: msgctl token issue --user OWNER")
    if not agent:
        raise InvalidInput("Give --agent, the id of an agent of the token's user. See: msgctl agent list")
    if not re.match(UUID_PATTERN, agent):
        raise InvalidInput(f"{agent!r} is not an agent id. See: msgctl agent list")
    url = url or gateway_url(global_options_of(context).load())
    address = _address(channel, to)
    plan = SmokePlan(url, token, agent, channel, count, parse_duration(timeout), parse_duration(budget), address)
    cases = asyncio.run(SmokeTest(plan).run())
    if junit:
        _write_junit(junit, cases)
    records = [
        {"case": case.name, "passed": not case.problem, "seconds": round(case.seconds, 3), "problem": case.problem}
        for case in cases
    ]
    failed = [case for case in cases if case.problem]
    if output is RecordFormat.JSON:
        print_json({"schema": "msgctl.smoke/1", "passed": not failed, "count": count, "cases": records})
    else:
        print_listing(records, OutputFormat.TABLE, schema="msgctl.smoke-case/1", columns=COLUMNS, key="case")
    if failed:
        raise Incomplete(
            f"{len(failed)} of {len(cases)} cases failed: {'; '.join(case.problem for case in failed)}."
        )


def _address(channel: Channel, to: str) -> dict[str, Any]:
    """Return the `channelMetadata` that names the address of the replies."""
    spec = find_channel(channel)
    if not spec.address_field:
        return {}
    if not to:
        raise InvalidInput(f"Give --to, the address of the replies through {channel}: {spec.example_address}.")
    return {spec.address_field: spec.parse_address(to)}


def _write_junit(file: Path, cases: list[SmokeCase]) -> None:
    failures = sum(bool(case.problem) for case in cases)
    suite = ET.Element("testsuite", name="msgctl smoke", tests=str(len(cases)), failures=str(failures))
    for case in cases:
        element = ET.SubElement(
            suite, "testcase", classname="msgctl.smoke", name=case.name, time=f"{case.seconds:.3f}"
        )
        if case.problem:
            ET.SubElement(element, "failure", message=case.problem)
    try:
        ET.ElementTree(suite).write(file, encoding="utf-8", xml_declaration=True)
    except OSError as error:
        raise Refused(f"Cannot write {file}: {error.strerror}.") from error
