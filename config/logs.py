"""The log: one line an event, as text for people or JSON for machines; never a secret.

Levels: error — something does not work and somebody should look; warning — a peer did wrong, or a limit was met; info —
what an operator wants to know happened; debug — what a developer wants to know.
"""

import logging
import re
from collections.abc import MutableMapping
from io import StringIO
from typing import Any, TextIO

import structlog

from config.settings import Logging

_SECRET_NAME = re.compile(r"(?i)(token|secret|password|authorization|cookie|api_?key)")
_SECRET_SHAPE = re.compile(r"\btw[rce]?_[A-Za-z0-9_-]{12,}|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}|(?<=token=)[^&\s\"]+")
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
MASK = "•••"
MAX_VALUE = 2000


def _mask(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Values with secret names are masked, token shapes wherever they stand; control characters made visible."""
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


def configure(settings: Logging, stream: TextIO) -> None:
    """Send the log to `stream`."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if settings.format == "json":
        tail: list[Any] = [structlog.processors.format_exc_info, _mask, structlog.processors.JSONRenderer()]
    else:
        tail = [
            _mask,
            structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=_plain_traceback),
        ]
    structlog.configure(
        processors=[*shared, *tail],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, settings.level.upper())),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(stream=stream, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", force=True)
