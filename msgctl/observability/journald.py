"""Log records in journald's native protocol, so that `journalctl MSGCTL_MESSAGE=…` finds the lines of a message.

The protocol is one datagram (systemd.io/JOURNAL_NATIVE_PROTOCOL). A library for it would have to be compiled
against libsystemd on each machine.
"""

import json
import logging
import os
import re
import socket
import struct
import sys
from typing import Any

JOURNAL_SOCKET_PATH = "/run/systemd/journal/socket"
MAX_FIELD_CHARS = 16_384
"""The most characters of one field. A datagram has room for a few fields of this size."""
SYSLOG_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
"""Python's levels with those of syslog. Lower levels are 7, debug."""
JOURNAL_FIELD_NAMES = {
    "messageId": "MSGCTL_MESSAGE",
    "conversationId": "MSGCTL_CONVERSATION",
    "daemon": "MSGCTL_DAEMON",
}
"""Fields whose journal name does not follow the rule of `_field_name`."""
FIELDS_OUTSIDE_TEXT = ("event", "level", "timestamp", "daemon")
"""Fields that the text of a line does not repeat, because the journal stores them anyway."""


def is_journal_behind_stderr() -> bool:
    """Return whether standard error is the journal ($JOURNAL_STREAM) and was not redirected since."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        status = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return (device, inode) == (str(status.st_dev), str(status.st_ino))


class JournalHandler(logging.Handler):
    """Sends each record as fields. Its formatter must render JSON.

    Records that the journal rejects go to standard error, which is the journal too, but without fields.

    Args:
        address: the socket of the journal.
    """

    def __init__(self, address: str = JOURNAL_SOCKET_PATH) -> None:
        super().__init__()
        self._address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record."""
        try:
            line = self.format(record)
            facts = json.loads(line)
        except Exception:  # noqa: BLE001 - a log line must never end what it tells of; logging's own way out
            self.handleError(record)
            return
        try:
            self._socket.sendto(encode_fields(_to_fields(record, facts)), self._address)
        except OSError:
            sys.stderr.write(line + "\n")

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
        super().close()


def encode_fields(fields: dict[str, str]) -> bytes:
    """Encode fields for journald: `NAME=value`, or with a length if the value has line breaks."""
    parts = []
    for name, value in fields.items():
        data = value[:MAX_FIELD_CHARS].encode("utf-8", "replace")
        if b"\n" in data:
            parts.append(name.encode() + b"\n" + struct.pack("<Q", len(data)) + data + b"\n")
        else:
            parts.append(name.encode() + b"=" + data + b"\n")
    return b"".join(parts)


def _to_fields(record: logging.LogRecord, facts: dict[str, Any]) -> dict[str, str]:
    said = " ".join(
        f"{name}={_to_text(value)}"
        for name, value in facts.items()
        if name not in (*FIELDS_OUTSIDE_TEXT, "exception")
    )
    lines = (f"{facts.get('event', '')} {said}".rstrip(), _to_text(facts.get("exception", "")))
    return {
        "MESSAGE": "\n".join(line for line in lines if line),
        "PRIORITY": str(next((number for level, number in SYSLOG_PRIORITIES if record.levelno >= level), 7)),
        "SYSLOG_IDENTIFIER": f"msgctl-{facts.get('daemon', 'msgctl')}",
        "LOGGER": record.name,
        **{
            _field_name(name): _to_text(value)
            for name, value in facts.items()
            if name not in ("event", "exception")
        },
    }


def _field_name(fact: str) -> str:
    """Return the journal name: `deadLetters` gives MSGCTL_DEAD_LETTERS. journald takes 64 of A-Z, 0-9, and _."""
    if fact in JOURNAL_FIELD_NAMES:
        return JOURNAL_FIELD_NAMES[fact]
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", fact)
    return ("MSGCTL_" + re.sub(r"\W", "_", words, flags=re.ASCII).upper())[:64]


def _to_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
