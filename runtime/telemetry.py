"""Events of actors and supervisors: one hook that metrics and logs feed on.

    unsubscribe = telemetry.subscribe(lambda event, fields: ...)

A subscriber runs synchronously where the event happens (almost always on the trio loop): it must not block or raise.
One that raises is reported to the log and goes on being called. docs/telemetry-actors.md lists all events.
"""

import logging
from collections.abc import Callable
from typing import Any

Subscriber = Callable[[str, dict[str, Any]], None]

logger = logging.getLogger("townwatch.runtime")

_subscribers: tuple[Subscriber, ...] = ()


def subscribe(subscriber: Subscriber) -> Callable[[], None]:
    """Call `subscriber(event, fields)` for each event from now on. Returns the function that ends this."""
    global _subscribers
    _subscribers = (*_subscribers, subscriber)

    def unsubscribe() -> None:
        global _subscribers
        _subscribers = tuple(one for one in _subscribers if one is not subscriber)

    return unsubscribe


def listening() -> bool:
    """Return False while there is no subscriber: a hot path may spare itself the fields."""
    return bool(_subscribers)


def emit(event: str, **fields: Any) -> None:
    """Tell all subscribers."""
    for subscriber in _subscribers:
        try:
            subscriber(event, fields)
        except Exception:
            logger.exception("Telemetry subscriber %r failed at the event %s", subscriber, event)
