"""Hours in which a rule holds: of the day in UTC, or in a zone with its summer time. Pure."""

from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


@lru_cache(maxsize=256)
def time_zone(name: str) -> ZoneInfo | None:
    """Return a time zone; None for one that this machine does not know."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def within(hours: str, zone: str | None, at: float) -> bool | None:
    """Return whether a moment (epoch seconds) is in ``08:00-18:00``; None where the zone is not known here.

    Clocks on the wall decide: an hour that they show twice is in them twice, one that they leave out never.
    """
    there = UTC if zone is None else time_zone(zone)
    if there is None:
        return None
    now = datetime.fromtimestamp(at, there)
    minute = now.hour * 60 + now.minute
    start, end = (int(one[:2]) * 60 + int(one[3:]) for one in hours.split("-"))
    return start <= minute < end if start <= end else minute >= start or minute < end
