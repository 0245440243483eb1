"""Log lines: structured, with the message's id bound to each, never with a secret or the text of a message.

A line goes to standard error, or with its fields to the journal if that is what stands behind it. Where
`logs.directory` is set, it goes to `combined.log` too and, from level error up, to `error.log`. The files are
written through `WatchedFileHandler`, so logrotate may move them.
"""

import logging
import logging.handlers
import re
import sys
from contextlib import AbstractContextManager
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from msgctl.config import Settings
from msgctl.journald import JournalHandler, is_journal_behind_stderr

if TYPE_CHECKING:
    import structlog

BOT_TOKEN = re.compile(r"bot\d+:[\w-]+")
QUERY_TOKEN = re.compile(r"(token=)[^&\s\"']+")
JWT = re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*")
SUSPICIOUS = re.compile(r"bot\d|token=|eyJ")
"""In whatever one of the three would mask."""


def configure(settings: Settings, *, daemon: str) -> None:
    """Set up logging for this process, once, before anything is logged.

    Args:
        settings: `logs.*` decides level, format and files.
        daemon: bound to each line as `daemon`; empty: a command, which is none.
    """
    first = JournalHandler() if is_journal_behind_stderr() else logging.StreamHandler(sys.stderr)
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
        handler.setFormatter(_Renderer(as_json=as_json or isinstance(handler, JournalHandler)))
    logging.basicConfig(handlers=handlers, level=settings.logs.level.upper(), force=True)
    if daemon:
        bind(daemon=daemon)


def get(name: str) -> "structlog.stdlib.BoundLogger":
    """The logger of a module; bind what a line must carry, e.g. `log.bind(messageId=…)`."""
    return cast("structlog.stdlib.BoundLogger", _Logger(name))


def bound(**facts: Any) -> AbstractContextManager[object]:
    """Within this context, each line of this task carries `facts`, whoever writes it."""
    return cast("AbstractContextManager[object]", _structlog().contextvars.bound_contextvars(**facts))


def bind(**facts: Any) -> None:
    """From here on, until the `bound` around it ends, each line of this task carries `facts` too."""
    _structlog().contextvars.bind_contextvars(**facts)


class _Logger:
    """One of structlog's loggers, made when it is first used."""

    def __init__(self, name: str) -> None:
        self._name = name

    @cached_property
    def _logger(self) -> Any:
        return _structlog().get_logger(self._name)

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._logger, attribute)


class _Renderer(logging.Formatter):
    """Renders what structlog, or a library, has logged; secrets are masked on the way."""

    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    @cached_property
    def _formatter(self) -> logging.Formatter:
        structlog = _structlog()
        return cast(
            "logging.Formatter",
            structlog.stdlib.ProcessorFormatter(
                foreign_pre_chain=[structlog.stdlib.add_log_level, _timestamp(structlog), redact],
                processors=[
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    structlog.processors.format_exc_info,
                    redact,
                    structlog.processors.JSONRenderer(ensure_ascii=False)
                    if self._as_json
                    else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
                ],
            ),
        )

    def format(self, record: logging.LogRecord) -> str:
        return self._formatter.format(record)


@cache
def _structlog() -> Any:
    """The library, set up; imported when something is logged: it takes 0.1 s, and most commands log nothing."""
    import structlog  # noqa: PLC0415 - see above

    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            _timestamp(structlog),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    return structlog


def _timestamp(structlog: Any) -> Any:
    return structlog.processors.TimeStamper(fmt="iso", utc=True)


def redact(_logger: Any, _method: str, event: Any) -> Any:
    """Take tokens out of every text of a line, a traceback included."""
    return {key: redact_text(value) if isinstance(value, str) else value for key, value in event.items()}


def redact_text(text: str) -> str:
    """Mask bot tokens, `token=` in query strings and JWTs, and whatever could forge a line or move a cursor."""
    if text.isprintable() and not SUSPICIOUS.search(text):
        return text  # nearly every text of nearly every line: a third of what a line costs is saved here
    text = JWT.sub("[jwt]", QUERY_TOKEN.sub(r"\1[secret]", BOT_TOKEN.sub("bot[secret]", text)))
    return "".join(character if character.isprintable() or character in "\n\t" else "?" for character in text)
