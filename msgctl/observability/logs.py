"""Log lines: structured, with the message's id bound to each, never with a secret or the text of a message.

A line goes to standard error, or with its fields to the journal if that is what stands behind it. Where
`logs.directory` is set, it goes to `combined.log` too and, from level error up, to `error.log`. The files are
written through `WatchedFileHandler`, so logrotate may move them.
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
"""In whatever one of the four would mask."""
LEADING_FIELDS = ("error", "code")
TRAILING_FIELDS = ("step", "attempt", "messageId", "conversationId", "daemon")
PLACED_FIELDS = {*LEADING_FIELDS, *TRAILING_FIELDS}
"""What a line as text tells first, and what last."""


def configure(settings: Settings, *, daemon: str) -> None:
    """Set up logging for this process, once, before anything is logged.

    Args:
        settings: `logs.*` decides level, format and files.
        daemon: bound to each line as `daemon`; empty: a command, which is none.
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
    """The logger of a module; bind what a line must carry, e.g. `log.bind(messageId=…)`."""
    return cast("structlog.typing.FilteringBoundLogger", _LazyLogger(name))


def bound_fields(**fields: Any) -> AbstractContextManager[object]:
    """Within this context, each line of this task carries `facts`, whoever writes it.

    A fact that is a method is called for each line, so that what changes all the time is bound once.
    """
    return cast("AbstractContextManager[object]", _load_structlog().contextvars.bound_contextvars(**fields))


def bind_fields(**fields: Any) -> None:
    """From here on, until the `bound` around it ends, each line of this task carries `facts` too."""
    _load_structlog().contextvars.bind_contextvars(**fields)


class _LazyLogger:
    """One of structlog's loggers, made when it is first used; its methods are looked up once."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        found = getattr(_load_structlog().get_logger(self._name).bind(), attribute)
        self.__dict__[attribute] = found
        return found


class BatchingHandler(logging.StreamHandler[Any]):
    """Writes the lines of one turn of the event loop together: under load that is one system call for many.

    Warnings and worse are written at once, with whatever waits before them.

    Args:
        stream: a text file, e.g. `sys.stderr`.
    """

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line until the turn ends; where no loop runs, write it."""
        try:
            self._lines.append(self.format(record))
            if len(self._lines) > 1 and record.levelno < logging.WARNING:
                return  # the first of them has seen to it
            loop = _running_loop()
            if loop is None or record.levelno >= logging.WARNING:
                self.flush()
            else:
                loop.call_soon(self.flush)
        except Exception:  # noqa: BLE001 - a log line must never end what it tells of; logging's own way out
            self.handleError(record)

    def flush(self) -> None:
        """Write what waits; not while another thread adds to it, whose line would go with the list."""
        self.acquire()
        try:
            lines, self._lines = self._lines, []
            if lines:
                self.stream.write("\n".join(lines) + "\n")
            super().flush()
        finally:
            self.release()


class EventFormatter(logging.Formatter):
    """Renders what structlog, or a library, has logged, once for all handlers that want it alike.

    Args:
        as_json: or as text for people.
    """

    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json
        self._cache_key = "as_json" if as_json else "as_text"

    @cached_property
    def _render(self) -> Any:
        return _to_json if self._as_json else _make_text_renderer()

    def format(self, record: logging.LogRecord) -> str:
        """One line; a traceback may make it several."""
        kept = record.__dict__.get(self._cache_key)
        if kept is None:
            event = record.msg if isinstance(record.msg, dict) else self._to_event(record)
            kept = record.__dict__[self._cache_key] = self._render(None, record.levelname, dict(event))
        return cast("str", kept)

    def _to_event(self, record: logging.LogRecord) -> dict[str, Any]:
        """What a library has logged, as ours would have been."""
        event = {"event": record.getMessage(), "level": record.levelname.lower()}
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        return cast("dict[str, Any]", redact(None, "", _add_timestamp(None, "", event)))


@cache
def _load_structlog() -> Any:
    """The library, set up; imported when something is logged: it takes 0.1 s, and most commands log nothing."""
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
        # What is below the level costs a call that does nothing, not a walk through the processors.
        wrapper_class=structlog.make_filtering_bound_logger(_minimum_level()),
        cache_logger_on_first_use=True,
    )
    return structlog


def _minimum_level() -> int:
    """The level that `configure` has set; where nobody has called it, all lines are left to logging."""
    root = logging.getLogger()
    ours = any(isinstance(handler.formatter, EventFormatter) for handler in root.handlers)
    return root.level if ours else logging.NOTSET


def _pass_to_logging(_logger: Any, _method: str, event: Any) -> tuple[tuple[Any], dict[str, Any]]:
    """To logging, whose handlers render it."""
    return (event,), {}


def _to_json(_logger: Any, _method: str, event: dict[str, Any]) -> str:
    return msgspec.json.encode(event, enc_hook=repr).decode()


def _make_text_renderer() -> Any:
    """Renders a line as text: time and event, what went wrong, then the rest, the ids last."""
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
    """Take tokens and phone numbers out of every text of a line, a traceback included."""
    told = {}
    for key, fact in event.items():
        value = fact() if isinstance(fact, MethodType) else fact
        if value is not None:  # nothing to tell
            told[key] = redact_text(value) if isinstance(value, str) else value
    return told


def redact_text(text: str) -> str:
    """Mask bot tokens, `token=` in queries, JWTs, phone numbers, and what could forge a line or move a cursor."""
    if text.isprintable() and not SECRET_HINT_PATTERN.search(text):
        return text  # nearly every text of nearly every line: a third of what a line costs is saved here
    text = PHONE_PATTERN.sub("[phone]", text)
    text = JWT_PATTERN.sub(
        "[jwt]", QUERY_TOKEN_PATTERN.sub(r"\1[secret]", BOT_TOKEN_PATTERN.sub("bot[secret]", text))
    )
    return "".join(character if character.isprintable() or character in "\n\t" else "?" for character in text)
