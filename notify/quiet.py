"""Quiet hours of a person, in their time zone. Pure."""

from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from townwatch.store.calls.preferences import CallPreferences


@lru_cache(maxsize=256)
def zone(name: str) -> ZoneInfo:
    """Return a time zone. Raises ValueError for one that this machine does not know."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name[:80]!r} is no time zone that this machine knows; Europe/Berlin and UTC are") from None


def quiet_end(preferences: CallPreferences, now_ms: int) -> int | None:
    """Return when the quiet hours that are on end (epoch milliseconds); None where it is not quiet."""
    begin, end = preferences.quiet_from, preferences.quiet_until
    if begin is None or end is None or begin == end:
        return None
    try:
        there = zone(preferences.time_zone)
    except ValueError:  # this machine knew it once: a call too many is better than none
        return None
    local = datetime.fromtimestamp(now_ms / 1000, there)
    minute = local.hour * 60 + local.minute
    overnight = begin > end
    if not (minute >= begin or minute < end if overnight else begin <= minute < end):
        return None
    day = local.date() + timedelta(days=1 if overnight and minute >= begin else 0)
    until = datetime(day.year, day.month, day.day, end // 60, end % 60, tzinfo=there)
    return max(int(until.timestamp() * 1000), now_ms + 1000)
