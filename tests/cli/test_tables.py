"""The exact tables at 80 columns, of messages whose times are three hours ago."""

import pytest

from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.command_line import Invoke
from tests.support.messages import Traffic

TABLES = {
    "queue stats": """\
waiting    1
active     0
completed  1
failed     2
delayed    0
paused     0
total      4
""",
    "queue list": """\
queue        waiting  active  delayed  oldest  paused
─────────────────────────────────────────────────────
messages:1   0        0       0        -       no
messages:2   0        0       0        -       no
messages:3   0        0       0        -       no
messages:4   0        0       0        -       no
messages:5   1        0       0        3h      no
messages:6   0        0       0        -       no
messages:7   0        0       0        -       no
messages:8   0        0       0        -       no
messages:9   0        0       0        -       no
messages:10  0        0       0        -       no
""",
    "dlq list": """\
id      failed  error
───────────────────────────────────────────────
dead    3h ago  n8n_rejected: n8n answered 400.
edited  3h ago  n8n_rejected: n8n answered 400.
""",
    "dlq replay --all --dry-run": """\
id      outcome       why
────────────────────────────────────────────────────────────────
dead    would_replay  -
edited  skipped       It was edited. Its replacement is edition.
""",
    "message list": """\
id      state      since   pri  channel  user  error
───────────────────────────────────────────────────────────
dead    failed     3h ago  5    web      ana   n8n_rejected
done    completed  3h ago  5    web      ana   -
edited  failed     3h ago  5    web      ana   n8n_rejected
waits   waiting    3h ago  5    web      ana   -
""",
    "message list --state failed": """\
id      state   since   pri  channel  user  error
────────────────────────────────────────────────────────
dead    failed  3h ago  5    web      ana   n8n_rejected
edited  failed  3h ago  5    web      ana   n8n_rejected
""",
    "message why waits": """\
waiting
─────────────────────────────────────────────────────────────
in_queue   It is the next one.
no_worker  No worker is alive. Start one: msgctl start worker
""",
    "message why dead": """\
failed
──────────────────────────────────────────────────────────────────────────────
dead_letter  n8n_rejected: n8n answered 400. Replay it: msgctl dlq replay dead
""",
    "assert dlq==2": """\
comparison  value  holds
────────────────────────
dlq==2      2      yes
""",
}


@pytest.fixture
async def messages_from_three_hours_ago(traffic: Traffic, redis: RedisClient) -> None:
    """Create two dead letters, a completed message, and a waiting one, all three hours old."""
    await traffic.completed("done")
    await traffic.failed("dead", "edited")
    await traffic.waiting("waits")
    then = (await redis.time())[0] * 1000 - 3 * 3_600_000 - 60_000
    for name in ("done", "dead", "edited"):
        await redis.hset(keys.job_key(name), keys.FIELD_FINISHED, str(then))
    await redis.hset(keys.job_key("waits"), keys.FIELD_READY, str(then))
    await redis.hset(keys.job_key("edited"), keys.FIELD_EDITION, "edition")


@pytest.mark.usefixtures("messages_from_three_hours_ago")
async def test_tables_have_exact_layout(msgctl: Invoke) -> None:
    """No cell is cut, and no line is wider than the terminal."""
    for command, expected in TABLES.items():
        drawn = (await msgctl(*command.split())).stdout
        assert drawn == expected, f"\n{command}\n{drawn}"
        assert max(map(len, drawn.splitlines())) <= 80
