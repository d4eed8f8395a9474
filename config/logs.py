"""The log: one line an event, as text for people or JSON for machines; never a secret.

Levels: error — something does not work and an operator should look; warning — a peer did wrong, or a limit was met;
info — what an operator wants to know happened; debug — what a developer wants to know.
"""

import json
import logging
import re
import sys
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from io import StringIO
from typing import Any, TextIO, cast

import structlog

from townwatch.config.log_sink import LOST, has_descriptor, sink_of
from townwatch.config.settings import LoggingSettings

_SECRET_NAME = re.compile(r"(?i)(token|secret|password|authorization|cookie|api_?key)")
_SECRET_SHAPE = re.compile(r"\btw[rce]?_[A-Za-z0-9_-]{12,}|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}|(?<=token=)[^&\s\"]+")
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
MASK = "•••"
MAX_VALUE = 2000


def _mask(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Mask values with secret names, and token shapes wherever they stand; make control characters visible."""
    for name, value in event.items():
        if _SECRET_NAME.search(name):
            event[name] = MASK
        elif name == "exception" and isinstance(value, str):
            event[name] = _SECRET_SHAPE.sub(MASK, value)  # a traceback keeps its lines
        elif isinstance(value, str):
            shown = _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", value[:MAX_VALUE])
            event[name] = _SECRET_SHAPE.sub(MASK, shown)
    return event


def _plain_traceback(stream: TextIO, exc_info: Any) -> None:
    """As structlog's, without the values of local variables, and with secrets masked."""
    text = StringIO()
    structlog.dev.plain_traceback(text, exc_info)
    stream.write(_SECRET_SHAPE.sub(MASK, text.getvalue()))


def _never_fails(level: int) -> type[Any]:
    """structlog's logger, which loses an event that cannot be made a line (the work it tells of goes on)."""
    base: Any = structlog.make_filtering_bound_logger(level)
    make_line: Callable[..., Any] = base._proxy_to_logger

    def guarded(self: Any, *args: Any, **fields: Any) -> Any:
        try:
            return make_line(self, *args, **fields)
        except Exception:
            LOST.add()
            return None

    return type("Guarded", (base,), {"_proxy_to_logger": guarded})


def _losses_as_json(lines: int) -> str:
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return json.dumps({"count": lines, "event": "log_lines_lost", "level": "warning", "timestamp": now}) + "\n"


class _FromStandardLogging(logging.Handler):
    """Send records of the standard library's logging the same way: pykka's, those of runtime and supervision, trio's.

    `record.fields`, where a library sets it, are fields of the event.
    """

    def emit(self, record: logging.LogRecord) -> None:
        try:
            fields: dict[str, Any] = getattr(record, "fields", {})
            exc_info = {"exc_info": record.exc_info} if record.exc_info else {}
            logger = structlog.get_logger()
            logger.log(record.levelno, record.getMessage(), logger=record.name, **(fields | exc_info))
        except Exception:
            self.handleError(record)


def configure(settings: LoggingSettings, stream: TextIO | None) -> None:
    """Send the log to `stream`. Logging never blocks and never raises from now on, whatever becomes of the stream."""
    sink = sink_of(stream)
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if settings.format == "json":
        sink.say_losses = _losses_as_json
        tail: list[Any] = [structlog.processors.format_exc_info, _mask, structlog.processors.JSONRenderer()]
    else:
        tail = [
            _mask,
            structlog.dev.ConsoleRenderer(colors=sink.isatty(), exception_formatter=_plain_traceback),
        ]
    structlog.configure(
        processors=[*shared, *tail],
        wrapper_class=_never_fails(getattr(logging, settings.level.upper())),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, sink)),
        cache_logger_on_first_use=False,
    )
    logging.raiseExceptions = False
    logging.basicConfig(level=logging.WARNING, handlers=[_FromStandardLogging()], force=True)


def shield_standard_streams() -> None:
    """Send prints, warnings and tracebacks through the log's sink: they wait for no reader and fail no caller."""
    if has_descriptor(sys.stdout):
        sys.stdout = sink_of(sys.stdout)
    if has_descriptor(sys.stderr):
        sys.stderr = sink_of(sys.stderr)
