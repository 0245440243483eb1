"""What is written about the commands is complete: the README's table, the man page, the shape of tables."""

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


def documented() -> set[str]:
    """The commands in the README's table, each row of which is `msgctl noun verb` / `verb` and so on."""
    readme = (ROOT / "README.md").read_text("utf-8")
    found = set()
    for row in re.findall(r"^\| (`msgctl [^|]+) \|", readme, re.MULTILINE):
        first, *others = re.findall(r"`([^`]+)`", row)
        words = [word for word in first.split()[1:] if not word.isupper()]
        found |= {" ".join(words), *(" ".join([*words[:-1], other]) for other in others)}
    return found


def folded(table: str) -> str:
    """A table apart from how wide its columns came out."""
    return re.sub(r"─+", "─", re.sub(r"\s+", " ", table))


def test_the_readme_names_every_command_and_no_other() -> None:
    """The table and the command tree are the same set, but for the short names of three commands."""
    known = {name for name, _ in leaf_commands()} - {"status", "stats", "health"}
    assert documented() - known == set()
    assert known - documented() == set()


def test_the_man_page_is_whole_and_well_formed() -> None:
    """Each command has its section, and groff, where there is one, has nothing to complain about."""
    page = render_man_page()
    for name, _ in leaf_commands():
        assert f".SS msgctl {name}".replace("-", "\\-") in page
    groff = shutil.which("groff")
    if groff:
        checked = subprocess.run(
            [groff, "-man", "-ww", "-z", "-Tutf8"], input=page, capture_output=True, text=True, check=True
        )
        assert checked.stderr == ""


def test_the_man_page_in_the_repository_is_this_one() -> None:
    """`make docs` would change nothing."""
    assert (ROOT / "docs" / "msgctl.1").read_text("utf-8") == render_man_page()


async def test_a_table_looks_like_this(msgctl: Invoke, traffic: Traffic, redis: RedisClient) -> None:
    """Headings, a rule, a line a record, nothing cut at 80 columns."""
    await traffic.failed("m1")
    (group,) = (await msgctl("dlq", "groups", "-o", "ids")).lines
    minutes = (await redis.time())[0] * 1000 - 3 * 60_000
    await redis.hset(keys.job_key("m1"), keys.FIELD_FINISHED, str(minutes))
    drawn = (await msgctl("dlq", "groups")).stdout
    assert folded(drawn) == folded(GROUPS.format(group=group, last="3m ago"))
    assert max(map(len, drawn.splitlines())) <= 80
