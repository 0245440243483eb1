"""What the pipeline leans on outside Redis: PostgreSQL, n8n, keys and credentials, the machine itself."""

import asyncio
import resource
import shutil
from pathlib import Path

import psycopg
import requests

from msgctl.auth import tokens
from msgctl.channels.names import channel_names
from msgctl.channels.registry import find_channel
from msgctl.config.settings import Settings
from msgctl.domain.errors import ConfigurationError, MsgctlError
from msgctl.domain.plural import pluralize
from msgctl.operations.checks.doctor.finding import Finding, fine, trouble, warning
from msgctl.storage.postgres.database import Database
from msgctl.storage.postgres.migrations import read_status

N8N_PROBE_TIMEOUT_S = 5.0
"""Seconds n8n has to answer."""
MIN_OPEN_FILES = 4096
"""Open files below which a gateway runs out of sockets."""
MIN_FREE_DISK_RATIO = 0.1
EXPLAIN_AGENT_LOOKUP = "EXPLAIN SELECT id FROM agents WHERE id = '00000000-0000-0000-0000-000000000000'"


async def check_postgres(settings: Settings) -> list[Finding]:
    """Does it answer, has it our tables, and is an agent found by an index?"""
    if settings.postgres.agent_query:
        return [fine("postgres", "agents come from your own table; its plan is yours to look at")]
    try:
        missing = [name for name, applied in (await read_status(settings)).items() if not applied]
        if missing:
            why = "No agent is found, so no message is accepted."
            what = f"Not migrated: {', '.join(missing)}."
            return [trouble("postgres", "not_migrated", what, why=why, mend="msgctl db migrate", fix="migrate")]
        async with Database(settings) as database, database.connection() as connection, connection.transaction():
            await connection.execute(
                "SET LOCAL enable_seqscan = off"
            )  # of a small table a plan would tell nothing
            rows = await (await connection.execute(EXPLAIN_AGENT_LOOKUP)).fetchall()
    except MsgctlError as error:
        why = "New messages are refused, those accepted wait."
        mend = "systemctl status postgresql; msgctl config explain postgres.url"
        return [trouble("postgres", "postgres_down", error.message, why=why, mend=mend)]
    except psycopg.Error as error:
        why = "Agents may not be found."
        return [trouble("postgres", "postgres_strange", str(error).strip(), why=why, mend="msgctl db status")]
    plan = " ".join(str(value) for row in rows for value in row.values())
    if "Index" not in plan:
        why = "Each lookup reads the whole table."
        mend = "CREATE UNIQUE INDEX ON agents (id)"
        return [warning("postgres", "no_index", "An agent is found without an index.", why=why, mend=mend)]
    return [fine("postgres", "reachable, migrated, an agent is found by an index")]


async def check_n8n(settings: Settings, webhooks: list[str]) -> list[Finding]:
    """Does n8n answer, and does it know the webhooks? A GET runs no workflow that waits for POST."""
    return await asyncio.to_thread(_probe_n8n, settings, webhooks)


def _probe_n8n(settings: Settings, webhooks: list[str]) -> list[Finding]:
    base = settings.n8n.base_url.rstrip("/")
    found = []
    try:
        requests.get(f"{base}/healthz", timeout=N8N_PROBE_TIMEOUT_S, allow_redirects=False)
        for path in webhooks:
            answer = requests.get(f"{base}/webhook/{path}", timeout=N8N_PROBE_TIMEOUT_S, allow_redirects=False)
            if answer.status_code == 404 and "POST" not in answer.text and "GET" not in answer.text:
                what = f"n8n knows no webhook {path}."
                why = "Messages to its agent fail three times and are dead letters then."
                mend = "Activate the workflow in n8n; or msgctl agent disable ID"
                found.append(trouble("n8n", "webhook_unknown", what, why=why, mend=mend))
    except requests.RequestException as error:
        what = f"{base} does not answer ({type(error).__name__})."
        why = "Messages wait and are charged nothing; customers wait, too."
        mend = "systemctl status n8n; msgctl config explain n8n.base_url"
        return [trouble("n8n", "n8n_down", what, why=why, mend=mend)]
    return found or [fine("n8n", f"reachable, {pluralize(len(webhooks), 'webhook')} looked at")]


def check_credentials(settings: Settings) -> list[Finding]:
    """Is the tokens' key there and strong, and are providers' credentials whole?"""
    found = []
    try:
        tokens.Verifier(settings)
        found.append(fine("token key", settings.auth.algorithm))
    except ConfigurationError as error:
        why = "Without it nobody can come in; a weak one lets anybody in."
        mend = "openssl rand -base64 48, into [auth] jwt_secret"
        found.append(trouble("token key", "weak_secret", error.message, why=why, mend=mend))
    for name in channel_names():
        try:
            spec = find_channel(name)
        except ConfigurationError as error:
            why = "No gateway and no subscriber starts while it is broken."
            mend = "reinstall or uninstall its package"
            found.append(trouble("channels", "channel_broken", error.message, why=why, mend=mend))
        else:
            found += [
                trouble("credentials", "credentials_partial", problem.what, why=problem.why, mend=problem.remedy)
                for problem in spec.check_settings(settings)
            ]
    return found


def check_machine(settings: Settings) -> list[Finding]:
    """Disk and open files of this machine."""
    folder = Path(settings.logs.directory or ".")
    usage = shutil.disk_usage(folder if folder.exists() else Path())
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    found = [fine("disk", f"{usage.free / 1e9:.1f} GB free"), fine("open files", str(soft))]
    if usage.free < MIN_FREE_DISK_RATIO * usage.total:
        what = f"{usage.free / usage.total:.0%} of the disk is free."
        why = "A full disk stops Redis's append-only file, and with it every message."
        found[0] = warning(
            "disk", "disk_full", what, why=why, mend="du -xh / | sort -h | tail; journalctl --vacuum-size=1G"
        )
    if soft < MIN_OPEN_FILES:
        why = "Each socket and connection is one; a gateway then refuses customers."
        mend = "LimitNOFILE=65536 in the unit; ulimit -n 65536 here"
        found[1] = warning("open files", "few_files", f"At most {soft} may be open.", why=why, mend=mend)
    return found
