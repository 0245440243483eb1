"""How a line is written: together with those of its turn, at once if it is a warning, masked whoever wrote it."""

import asyncio
import io
import json
import logging
import re
import threading

import pytest

from msgctl.local.terminal import PrefixedWriter
from msgctl.observability import logs
from msgctl.observability.logs import BatchingHandler, EventFormatter


@pytest.fixture
def stream() -> io.StringIO:
    """Where lines go."""
    return io.StringIO()


@pytest.fixture
def logger(stream: io.StringIO) -> logging.Logger:
    """A library's logger, written as JSON."""
    handler = BatchingHandler(stream)
    handler.setFormatter(EventFormatter(as_json=True))
    logger = logging.Logger("library", logging.DEBUG)  # noqa: LOG001 - one that no other test sees
    logger.addHandler(handler)
    return logger


async def test_the_lines_of_a_turn_are_written_together(logger: logging.Logger, stream: io.StringIO) -> None:
    """One write for all of them, in their order, when the turn is over."""
    logger.info("one")
    logger.info("two")
    assert stream.getvalue() == ""
    await asyncio.sleep(0)
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["one", "two"]


async def test_a_warning_does_not_wait(logger: logging.Logger, stream: io.StringIO) -> None:
    """And takes along what came before it."""
    logger.info("one")
    logger.warning("two")
    assert [json.loads(line)["level"] for line in stream.getvalue().splitlines()] == ["info", "warning"]
    await asyncio.sleep(0)
    assert len(stream.getvalue().splitlines()) == 2


def test_without_a_loop_each_line_is_written(logger: logging.Logger, stream: io.StringIO) -> None:
    """A command's lines are there when it says the next one."""
    logger.info("one")
    assert json.loads(stream.getvalue())["event"] == "one"


def test_a_line_of_another_thread_is_not_lost(stream: io.StringIO) -> None:
    """One that is still being rendered when the turn's lines are written comes with the next ones."""
    handler = BatchingHandler(stream)

    class Slow(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            flushing = threading.Thread(target=handler.flush)
            flushing.start()
            flushing.join(0.2)  # it may wait for this very line, so not for ever
            return record.getMessage()

    handler.setFormatter(Slow())
    handler.handle(logging.makeLogRecord({"msg": "one", "levelno": logging.INFO}))
    assert stream.getvalue() == "one\n"


def test_a_librarys_traceback_is_masked(logger: logging.Logger, stream: io.StringIO) -> None:
    """What a library logs with its exception is one line of JSON, without the token that is in it."""
    try:
        int("bot123456:secretsecret")
    except ValueError:
        logger.exception("It failed")
    line = json.loads(stream.getvalue())
    assert "ValueError" in line["exception"]
    assert "secretsecret" not in stream.getvalue()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO) -> io.StringIO:
    """Where lines of ours go, as text."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler := BatchingHandler(stream)])
    handler.setFormatter(EventFormatter(as_json=False))
    return stream


def test_a_failed_attempt_is_one_line_to_read(told: io.StringIO) -> None:
    """What went wrong stands first, the ids last, and nothing of what there is nothing to tell."""
    with logs.bound_fields(messageId="m1", conversationId="c1", attempt=1, step="n8n", daemon="worker"):
        log = logs.get_logger("msgctl.tests")
        log.warning("Attempt failed", code="n8n_rejected", error="n8n answered 404", again_in=1.2, lease_lost=None)
    line = told.getvalue()
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \[warning\] Attempt failed error='n8n answered 404' "
        r"code=n8n_rejected again_in=1.2 step=n8n attempt=1 messageId=m1 conversationId=c1 daemon=worker\n",
        line,
    ), line
    shown = io.StringIO()
    PrefixedWriter(shown)("worker-1", line.rstrip())
    expected = r"worker-1     \| \d\d:\d\d:\d\d\.\d{3} \[warning\] Attempt failed .* attempt=1 messageId=m1\n"
    assert re.fullmatch(expected, shown.getvalue())
