"""Checks of what the pipeline needs besides Redis: PostgreSQL, n8n, keys and credentials, and the machine."""

import resource
import shutil
from pathlib import Path

import psycopg

from msgctl.auth import tokens
from msgctl.channels.base import ChannelSpec
from msgctl.channels.names import channel_names
from msgctl.channels.registry import find_channel
from msgctl.config.settings import Settings
from msgctl.domain.errors import ConfigurationError, MsgctlError, WorkflowUnreachable
from msgctl.domain.n8n_outage import N8nDown
from msgctl.domain.plural import pluralize
from msgctl.operations.checks.findings import Finding, passed, trouble, warning
from msgctl.processing.n8n import WorkflowClient
from msgctl.storage.postgres.database import Database
from msgctl.storage.postgres.migrations import read_status

ABSENT_WEBHOOK = "msgctl-probe"
"""A webhook that no workflow should have. n8n answers that it does not know it."""
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})
MIN_OPEN_FILES = 4096
"""A limit of open files below this number leaves a gateway without sockets."""
MIN_FREE_DISK_RATIO = 0.1
EXPLAIN_AGENT_LOOKUP = "EXPLAIN SELECT id FROM agents WHERE id = '00000000-0000-0000-0000-000000000000'"


async def check_postgres(settings: Settings) -> list[Finding]:
    """Check that PostgreSQL answers, that the tables are migrated, and that an index finds an agent."""
    if settings.postgres.agent_query:
        return [passed("postgres", "agents come from your own table, whose query plan is not checked")]
    try:
        missing = [name for name, applied in (await read_status(settings)).items() if not applied]
        if missing:
            impact = "No agent is found, so no message is accepted."
            text = f"Not migrated: {', '.join(missing)}."
            return [
                trouble("postgres", "not_migrated", text, impact=impact, remedy="msgctl db migrate", fix="migrate")
            ]
        async with Database(settings) as database, database.connection() as connection, connection.transaction():
            # Without this, the plan for a small table reads all of it, whether an index exists or not.
            await connection.execute("SET LOCAL enable_seqscan = off")
            rows = await (await connection.execute(EXPLAIN_AGENT_LOOKUP)).fetchall()
    except MsgctlError as error:
        impact = "New messages are refused, and accepted messages wait."
        remedy = "systemctl status postgresql; msgctl config explain postgres.url"
        return [trouble("postgres", "postgres_down", error.message, impact=impact, remedy=remedy)]
    except psycopg.Error as error:
        impact = "Agents may not be found."
        return [
            trouble("postgres", "postgres_strange", str(error).strip(), impact=impact, remedy="msgctl db status")
        ]
    plan = " ".join(str(value) for row in rows for value in row.values())
    if "Index" not in plan:
        impact = "Each lookup reads the whole table."
        remedy = "CREATE UNIQUE INDEX ON agents (id)"
        return [
            warning(
                "postgres", "no_index", "An agent is looked up without an index.", impact=impact, remedy=remedy
            )
        ]
    return [passed("postgres", "reachable, migrated, an index finds agents")]


async def check_n8n(settings: Settings, webhooks: list[str]) -> list[Finding]:
    """Check that n8n answers and has the webhooks, with the client, headers, and addresses of a worker."""
    findings = []
    try:
        async with WorkflowClient(settings) as client:
            await client.look_up(ABSENT_WEBHOOK)
            for path in webhooks:
                answer = await client.look_up(path)
                if answer.status == 404 and b"POST" not in answer.body and b"GET" not in answer.body:
                    text = f"n8n has no webhook {path}."
                    impact = "Messages to its agent fail in each attempt and become dead letters."
                    remedy = "Activate the workflow in n8n; or msgctl agent disable ID"
                    findings.append(trouble("n8n", "webhook_unknown", text, impact=impact, remedy=remedy))
    except (WorkflowUnreachable, N8nDown) as error:
        impact = "Messages wait, which does not count as an attempt. Customers get no answer."
        remedy = "systemctl status n8n; msgctl config explain n8n.base_url"
        return [trouble("n8n", "n8n_down", error.message, impact=impact, remedy=remedy)]
    except ConfigurationError as error:
        impact = "No worker starts."
        return [trouble("n8n", "n8n_settings", error.message, impact=impact, remedy="msgctl config check")]
    return findings or [passed("n8n", f"reachable, {pluralize(len(webhooks), 'webhook')} checked")]


def check_credentials(settings: Settings) -> list[Finding]:
    """Check that the key of the tokens is strong, and that the credentials of the providers are complete."""
    findings = []
    try:
        tokens.Verifier(settings)
        findings.append(passed("token key", settings.auth.algorithm))
    except ConfigurationError as error:
        impact = "Without a key no client is admitted. With a weak key anybody can forge a token."
        remedy = "openssl rand -base64 48, into [auth] jwt_secret"
        findings.append(trouble("token key", "weak_secret", error.message, impact=impact, remedy=remedy))
    for name in channel_names():
        try:
            spec = find_channel(name)
        except ConfigurationError as error:
            impact = "No gateway and no subscriber starts while it is broken."
            remedy = "reinstall or uninstall its package"
            findings.append(trouble("channels", "channel_broken", error.message, impact=impact, remedy=remedy))
        else:
            findings += [
                trouble(
                    "credentials", "credentials_partial", problem.what, impact=problem.why, remedy=problem.remedy
                )
                for problem in spec.check_settings(settings)
            ]
            findings += _check_grants(settings, spec)
    return findings


def _check_grants(settings: Settings, spec: ChannelSpec) -> list[Finding]:
    """Check that not every user may send through the senders of others on a gateway that strangers reach."""
    is_open = spec.requires_grant and settings.auth.channels == "any" and spec.is_configured(settings)
    if not is_open or settings.gateway.host in LOOPBACK_HOSTS:
        return []
    text = f'With [auth] channels = "any" every token sends through {spec.name}.'
    impact = "A user can write to anybody in the name of another user's number or bot."
    remedy = "set [auth] channels to granted, unless all users are of one tenant"
    return [warning("channels", "channel_open", text, impact=impact, remedy=remedy)]


def check_machine(settings: Settings) -> list[Finding]:
    """Check the free disk space and the limit of open files of this machine."""
    folder = Path(settings.logs.directory or ".")
    usage = shutil.disk_usage(folder if folder.exists() else Path())
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    findings = [passed("disk", f"{usage.free / 1e9:.1f} GB free"), passed("open files", str(soft))]
    if usage.free < MIN_FREE_DISK_RATIO * usage.total:
        text = f"{usage.free / usage.total:.0%} of the disk is free."
        impact = "A full disk stops the append-only file of Redis, and no message is accepted."
        findings[0] = warning(
            "disk",
            "disk_full",
            text,
            impact=impact,
            remedy="du -xh / | sort -h | tail; journalctl --vacuum-size=1G",
        )
    if soft < MIN_OPEN_FILES:
        impact = "Each socket and each connection needs one. A gateway without them refuses customers."
        remedy = "LimitNOFILE=65536 in the unit; ulimit -n 65536 here"
        findings[1] = warning("open files", "few_files", f"The limit is {soft}.", impact=impact, remedy=remedy)
    return findings
