"""Messages that nobody will handle: seen, counted, and each says to whom and why.

A message is a dead letter when its sender can no longer be told: it waited in the mailbox of an actor that ended,
was in hand when its actor crashed, or came late from another thread. A sender that *can* be told is told instead
(ActorDeadError, MailboxFull): that message was refused, and is not counted here.
"""

import time
from collections import Counter, deque
from typing import Any

import attrs
import structlog

from actors.runtime import telemetry

log = structlog.get_logger("actors")

KEPT = 256
"""How many of the latest dead letters `recent()` shows."""
LOG_INTERVAL = 1.0
"""Seconds between two log lines for the same reason; those between are counted in the next line."""


@attrs.frozen
class DeadLetter:
    """One message that nobody will handle.

    to: the actor's class and name, or its URN. why: `stopped`, `crashed`, `cleared`, `late` or `retried`.
    """

    message: Any
    to: str
    why: str
    at: float
    """time.time() when it was given up"""


class _Office:
    """The ring of recent letters, the counts, and what the log was told when."""

    def __init__(self) -> None:
        self.recent: deque[DeadLetter] = deque(maxlen=KEPT)
        self.counts: Counter[str] = Counter()
        self.logged: dict[str, tuple[float, int]] = {}


_office = _Office()


def recent() -> list[DeadLetter]:
    """The latest dead letters, oldest first."""
    return list(_office.recent)


def counts() -> dict[str, int]:
    """How many there were since the start of the process, by reason."""
    return dict(_office.counts)


def clear() -> None:
    """Forget them all (for tests)."""
    _office.__init__()


def post(message: Any, to: str, why: str) -> None:
    """Record that nobody will handle `message`. The log gets its type, never its contents."""
    _office.recent.append(DeadLetter(message, to, why, time.time()))
    _office.counts[why] += 1
    kind = type(message).__name__
    telemetry.emit("dead_letter", to=to, why=why, message_type=kind)
    last, count = _office.logged.get(why, (-LOG_INTERVAL, 0))
    if time.monotonic() - last >= LOG_INTERVAL:
        _office.logged[why] = (time.monotonic(), _office.counts[why])
        log.warning("dead_letter", to=to, why=why, message_type=kind, since_last_line=_office.counts[why] - count)
