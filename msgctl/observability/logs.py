"""Structured log lines, which carry the id of the message, but never a secret or the text of a message.

A line goes to standard error, or with its fields to the journal if standard error is the journal. If
`logs.directory` is set, it also goes to `combined.log` and, from level error up, to `error.log`.
`WatchedFileHandler` writes the files, so logrotate may move them.
"""

import asyncio
import logging
import logging.handlers
import re
import sys
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from types import MethodType
from typing import TYPE_CHECKING, Any, cast

import msgspec

from msgctl.config.settings import Settings
from msgctl.observability.journald import JournalHandler, is_journal_behind_stderr

if TYPE_CHECKING:
    import structlog

BOT_TOKEN_PATTERN = re.compile(r"bot\d+:[\w-]+")
QUERY_TOKEN_PATTERN = re.compile(r"(token=)[^&\s\"']+")
JWT_PATTERN = re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*")
PHONE_PATTERN = re.compile(r"\+\d{10,15}\b")
SECRET_HINT_PATTERN = re.compile(r"bot\d|token=|eyJ|\+\d{10}")
"""A quick test that matches every text that one of the four patterns would mask."""
LEADING_FIELDS = ("error", "code")
TRAILING_FIELDS = ("step", "attempt", "messageId", "conversationId", "daemon")
PLACED_FIELDS = {*LEADING_FIELDS, *TRAILING_FIELDS}
"""The fields that a text line shows first or last."""


def configure(settings: Settings, *, daemon: str) -> None:
    """Set up logging for this process. Call it once, before anything is logged.

    Args:
        settings: `logs.*` decides level, format, and files.
        daemon: bound to each line as `daemon`; empty for a command.
    """
    first = JournalHandler() if is_journal_behind_stderr() else BatchingHandler(sys.stderr)
    handlers: list[logging.Handler] = [first]
    if settings.logs.directory:
        folder = Path(settings.logs.directory)
        folder.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.handlers.WatchedFileHandler(folder / "combined.log", encoding="utf-8"))
        errors = logging.handlers.WatchedFileHandler(folder / "error.log", encoding="utf-8")
        errors.setLevel(logging.ERROR)
        handlers.append(errors)
    as_json = settings.logs.format == "json" or (settings.logs.format == "auto" and not sys.stderr.isatty())
    for handler in handlers:
        handler.setFormatter(EventFormatter(as_json=as_json or isinstance(handler, JournalHandler)))
    logging.basicConfig(handlers=handlers, level=settings.logs.level.upper(), force=True)
    # No line tells where in the code, in which thread or process it was written, and finding that out costs as
    # much as the rest of it. docs.python.org/3/howto/logging.html#optimization
    cast("Any", logging)._srcfile = None  # noqa: SLF001 - the documented way
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    if daemon:
        bind_fields(daemon=daemon)


def get_logger(name: str) -> "structlog.typing.FilteringBoundLogger":
    """Return the logger of a module. Bind the fields that each line must carry, e.g. `log.bind(messageId=…)`."""
    return cast("structlog.typing.FilteringBoundLogger", _LazyLogger(name))


def bound_fields(**fields: Any) -> AbstractContextManager[object]:
    """Add `fields` to each line that this task logs within this context, from any module.

    A value that is a method is called for each line, so that a changing value needs to be bound only once.
    """
    return cast("AbstractContextManager[object]", _load_structlog().contextvars.bound_contextvars(**fields))


def bind_fields(**fields: Any) -> None:
    """Add `fields` to each further line of this task, until the surrounding `bound_fields` ends."""
    _load_structlog().contextvars.bind_contextvars(**fields)


class _LazyLogger:
    """A logger of structlog that is created at its first use. Its methods are looked up once."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        found = getattr(_load_structlog().get_logger(self._name).bind(), attribute)
        self.__dict__[attribute] = found
        return found


class BatchingHandler(logging.StreamHandler[Any]):
    """Writes the lines of one iteration of the event loop together, which saves system calls under load.

    Warnings and errors are written immediately, together with the lines that wait before them.

    Args:
        stream: a text file, e.g. `sys.stderr`.
    """

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line until the iteration ends. If no loop runs, write it."""
        try:
            self._lines.append(self.format(record))
            if len(self._lines) > 1 and record.levelno < logging.WARNING:
                return  # the first line has scheduled the flush
            loop = _running_loop()
            if loop is None or record.levelno >= logging.WARNING:
                self.flush()
            else:
                loop.call_soon(self.flush)
        except Exception:  # noqa: BLE001 - a log line must never end what it tells of; logging's own way out
            self.handleError(record)

    def flush(self) -> None:
        """Write the waiting lines, under the lock, because a line that another thread adds would be lost."""
        self.acquire()
        try:
            lines, self._lines = self._lines, []
            if lines:
                self.stream.write("\n".join(lines) + "\n")
            super().flush()
        finally:
            self.release()


class EventFormatter(logging.Formatter):
    """Renders a record of structlog or of a library, once for all handlers of the same format.

    Args:
        as_json: whether to render JSON instead of text for people.
    """

    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json
        self._cache_key = "as_json" if as_json else "as_text"

    @cached_property
    def _render(self) -> Any:
        return _to_json if self._as_json else _make_text_renderer()

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line, or several with a traceback."""
        kept = record.__dict__.get(self._cache_key)
        if kept is None:
            event = record.msg if isinstance(record.msg, dict) else self._to_event(record)
            kept = record.__dict__[self._cache_key] = self._render(None, record.levelname, dict(event))
        return cast("str", kept)

    def _to_event(self, record: logging.LogRecord) -> dict[str, Any]:
        """Convert the record of a library to an event of the same form as those of msgctl."""
        event = {"event": record.getMessage(), "level": record.levelname.lower()}
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        return cast("dict[str, Any]", redact(None, "", _add_timestamp(None, "", event)))


@cache
def _load_structlog() -> Any:
    """Import and configure structlog at the first log line. It takes 0.1 s, and most commands log nothing."""
    import structlog  # noqa: PLC0415 - see above

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            _add_timestamp,
            structlog.processors.format_exc_info,
            redact,
            _pass_to_logging,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        # A line below the level costs one empty call instead of a pass through the processors.
        wrapper_class=structlog.make_filtering_bound_logger(_minimum_level()),
        cache_logger_on_first_use=True,
    )
    return structlog


def _minimum_level() -> int:
    """Return the level that `configure` set. If it was not called, `logging` filters all lines."""
    root = logging.getLogger()
    ours = any(isinstance(handler.formatter, EventFormatter) for handler in root.handlers)
    return root.level if ours else logging.NOTSET


def _pass_to_logging(_logger: Any, _method: str, event: Any) -> tuple[tuple[Any], dict[str, Any]]:
    """Pass an event to `logging`, whose handlers render it."""
    return (event,), {}


def _to_json(_logger: Any, _method: str, event: dict[str, Any]) -> str:
    return msgspec.json.encode(event, enc_hook=repr).decode()


def _make_text_renderer() -> Any:
    """Return a renderer of text lines: time and event, then the error, the other fields, and the ids last."""
    render = _load_structlog().dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), pad_event_to=0, pad_level=False, sort_keys=False
    )

    def draw(logger: Any, method: str, event: dict[str, Any]) -> Any:
        names = [
            *(name for name in LEADING_FIELDS if name in event),
            *(name for name in event if name not in PLACED_FIELDS),
        ]
        told = {name: event[name] for name in (*names, *(name for name in TRAILING_FIELDS if name in event))}
        told["timestamp"] = told["timestamp"][:23].replace("T", " ")  # to the millisecond
        return render(logger, method, told)

    return draw


def _add_timestamp(_logger: Any, _method: str, event: Any) -> Any:
    event["timestamp"] = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return event


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def redact(_logger: Any, _method: str, event: Any) -> Any:
    """Mask tokens and phone numbers in every text of a line, including a traceback."""
    told = {}
    for key, fact in event.items():
        value = fact() if isinstance(fact, MethodType) else fact
        if value is not None:  # nothing to tell
            told[key] = redact_text(value) if isinstance(value, str) else value
    return told


def redact_text(text: str) -> str:
    """Mask bot tokens, `token=` in queries, JWTs, phone numbers, and control characters."""
    if text.isprintable() and not SECRET_HINT_PATTERN.search(text):
        return text  # true of nearly every text, which saves a third of the cost of a line
    text = PHONE_PATTERN.sub("[phone]", text)
    text = JWT_PATTERN.sub(
        "[jwt]", QUERY_TOKEN_PATTERN.sub(r"\1[secret]", BOT_TOKEN_PATTERN.sub("bot[secret]", text))
    )
    return "".join(character if character.isprintable() or character in "\n\t" else "?" for character in text)
