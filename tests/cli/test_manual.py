"""Documentation of the commands: the README's table, the man page, and the shape of tables."""

import re
import shutil
import subprocess
from pathlib import Path

from msgctl.cli.manual import leaf_commands, render_man_page
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.command_line import Invoke
from tests.support.messages import Traffic

ROOT = Path(__file__).parent.parent.parent
GROUPS = """\
group      count   error                           first     last     channels   agents
──────────────────────────────────────────────────────────────────────────────
{group}   1   n8n_rejected: n8n answered N.   {last}   {last}   web    1
"""


def commands_in_readme() -> set[str]:
    """Return the commands in the README's table. A row is `msgctl noun verb` / `verb` and so on."""
    readme = (ROOT / "README.md").read_text("utf-8")
    found = set()
    for row in re.findall(r"^\| (`msgctl [^|]+) \|", readme, re.MULTILINE):
        first, *others = re.findall(r"`([^`]+)`", row)
        words = [word for word in first.split()[1:] if not word.isupper()]
        found |= {" ".join(words), *(" ".join([*words[:-1], other]) for other in others)}
    return found


def normalize_table(table: str) -> str:
    """Return a table without the widths of its columns."""
    return re.sub(r"─+", "─", re.sub(r"\s+", " ", table))


def test_readme_lists_each_command() -> None:
    """Only the short names of three commands are left out."""
    known = {name for name, _ in leaf_commands()} - {"status", "stats", "health"}
    assert commands_in_readme() - known == set()
    assert known - commands_in_readme() == set()


def test_man_page_has_section_for_each_command() -> None:
    """groff, if it is installed, reports no problem."""
    page = render_man_page()
    for name, _ in leaf_commands():
        assert f".SS msgctl {name}".replace("-", "\\-") in page
    groff = shutil.which("groff")
    if groff:
        checked = subprocess.run(
            [groff, "-man", "-ww", "-z", "-Tutf8"], input=page, capture_output=True, text=True, check=True
        )
        assert checked.stderr == ""


def test_man_page_in_repository_is_current() -> None:
    """`make docs` would change nothing."""
    assert (ROOT / "docs" / "msgctl.1").read_text("utf-8") == render_man_page()


async def test_groups_table_fits_80_columns(msgctl: Invoke, traffic: Traffic, redis: RedisClient) -> None:
    """It has headings, a rule, and one line for each group."""
    await traffic.failed("m1")
    (group,) = (await msgctl("dlq", "groups", "-o", "ids")).lines
    minutes = (await redis.time())[0] * 1000 - 3 * 60_000
    await redis.hset(keys.job_key("m1"), keys.FIELD_FINISHED, str(minutes))
    drawn = (await msgctl("dlq", "groups")).stdout
    assert normalize_table(drawn) == normalize_table(GROUPS.format(group=group, last="3m ago"))
    assert max(map(len, drawn.splitlines())) <= 80
