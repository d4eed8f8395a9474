"""Quiet hours, over midnight and over the changes of the clock."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from townwatch.notify.quiet import quiet_end
from townwatch.store.calls.preferences import CallPreferences

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp() * 1000)


def hours(begin: str, end: str) -> CallPreferences:
    minutes = [int(text[:2]) * 60 + int(text[3:]) for text in (begin, end)]
    return CallPreferences(time_zone="Europe/Berlin", quiet_from=minutes[0], quiet_until=minutes[1])


@pytest.mark.parametrize(
    ("begin", "end", "now", "until"),
    [
        ("22:00", "07:00", "2026-06-01T21:59:59", None),
        ("22:00", "07:00", "2026-06-01T22:00:00", "2026-06-02T07:00:00"),
        ("22:00", "07:00", "2026-06-02T06:59:59", "2026-06-02T07:00:00"),
        ("22:00", "07:00", "2026-06-02T07:00:00", None),
        ("12:00", "13:30", "2026-06-01T12:30:00", "2026-06-01T13:30:00"),
        ("12:00", "13:30", "2026-06-01T23:30:00", None),
        ("09:00", "09:00", "2026-06-01T09:00:00", None),
        ("22:00", "07:00", "2026-03-28T23:00:00", "2026-03-29T07:00:00"),
        ("22:00", "07:00", "2026-10-24T23:00:00", "2026-10-25T07:00:00"),
    ],
)
def test_when_it_ends(begin: str, end: str, now: str, until: str | None) -> None:
    assert quiet_end(hours(begin, end), at(now)) == (None if until is None else at(until))


def test_nothing_is_quiet_without_hours_or_in_a_zone_that_is_not_known_here() -> None:
    assert quiet_end(CallPreferences(), at("2026-06-01T23:00:00")) is None
    assert quiet_end(CallPreferences(time_zone="Moon/Base", quiet_from=0, quiet_until=1439), 0) is None
