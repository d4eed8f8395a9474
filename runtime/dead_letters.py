"""Dead letters: messages that no actor will handle, kept and counted, each with its address and why.

A message is a dead letter when its sender can no longer be told: it waited in the mailbox of an actor that ended,
was in hand when its actor crashed, or came late from another thread. A sender that *can* be told is told instead
(ActorDeadError, MailboxFull): that message was refused, and is not counted here.
"""

import logging
import time
from collections import Counter, deque
from typing import Any

import attrs

from townwatch.runtime import telemetry

logger = logging.getLogger("townwatch.runtime")

KEPT = 256
"""the number of dead letters that `recent()` shows"""
LOG_INTERVAL = 1.0
"""Seconds between two log lines for the same reason; those between are counted in the next line."""


@attrs.frozen
class DeadLetter:
    """One message that no actor will handle.

    to: the actor's class and name, or its URN. why: `stopped`, `crashed`, `cleared`, `late` or `retried`.
    """

    message: Any
    to: str
    why: str
    at: float
    """time.time() when it was given up"""


class _Records:
    """A ring of recent letters, the counts, and what was logged when."""

    def __init__(self) -> None:
        self.recent: deque[DeadLetter] = deque(maxlen=KEPT)
        self.counts: Counter[str] = Counter()
        self.logged: dict[str, tuple[float, int]] = {}


_records = _Records()


def recent() -> list[DeadLetter]:
    """Return the latest dead letters, oldest first."""
    return list(_records.recent)


def counts() -> dict[str, int]:
    """Return how many there were since the start of the process, by reason."""
    return dict(_records.counts)


def clear() -> None:
    """Forget them all (for tests)."""
    _records.__init__()


def post(message: Any, to: str, why: str) -> None:
    """Record a dead letter. The log gets the message's type, never its contents."""
    _records.recent.append(DeadLetter(message, to, why, time.time()))
    _records.counts[why] += 1
    kind = type(message).__name__
    telemetry.emit("dead_letter", to=to, why=why, message_type=kind)
    last, count = _records.logged.get(why, (-LOG_INTERVAL, 0))
    if time.monotonic() - last >= LOG_INTERVAL:
        _records.logged[why] = (time.monotonic(), _records.counts[why])
        since = _records.counts[why] - count
        fields = {"to": to, "why": why, "message_type": kind, "since_last_line": since}
        logger.warning(
            "Dead letter: %s to %s (%s), %d since the last line", kind, to, why, since, extra={"fields": fields}
        )
