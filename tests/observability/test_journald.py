"""The journal's own protocol."""

import json
import logging
import socket
from pathlib import Path

import pytest

from msgctl.observability.journald import JournalHandler, encode_fields


def test_a_value_with_line_breaks_carries_its_length() -> None:
    """Nobody can forge a field by a line break in a text."""
    assert encode_fields({"MESSAGE": "a\nPRIORITY=0"}) == b"MESSAGE\n\x0c\0\0\0\0\0\0\0a\nPRIORITY=0\n"


def test_a_record_arrives_with_its_message_and_priority(tmp_path: Path) -> None:
    """`journalctl MSGCTL_MESSAGE=…` finds the line, and an error is one to the journal."""
    address = str(tmp_path / "journal")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(address)
        handler = JournalHandler(address)
        line = json.dumps({"event": "failed", "messageId": "m-1", "deadLetters": 2})
        handler.emit(logging.LogRecord("n", logging.ERROR, "f", 1, line, None, None))
        handler.close()
        told = journal.recv(4096).decode().splitlines()
    assert {"MSGCTL_MESSAGE=m-1", "PRIORITY=3", "MSGCTL_DEAD_LETTERS=2"} <= set(told)
    assert "MESSAGE=failed messageId=m-1 deadLetters=2" in told


@pytest.mark.parametrize(
    ("level", "priority"),
    [("debug", "7"), ("info", "6"), ("warning", "4"), ("error", "3"), ("critical", "2")],
)
def test_journalctl_sorts_by_the_right_priority(level: str, priority: str, tmp_path: Path) -> None:
    """`journalctl -p warning` shows warnings and worse, with step and attempt as fields of their own."""
    address = str(tmp_path / "journal")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(address)
        handler = JournalHandler(address)
        line = json.dumps({"event": "x", "step": "n8n", "attempt": 2, "conversationId": "c-1"})
        handler.emit(logging.LogRecord("n", getattr(logging, level.upper()), "f", 1, line, None, None))
        handler.close()
        told = journal.recv(4096).decode().splitlines()
    assert f"PRIORITY={priority}" in told
    assert {"MSGCTL_STEP=n8n", "MSGCTL_ATTEMPT=2", "MSGCTL_CONVERSATION=c-1"} <= set(told)
