"""Preferences of a person for all calls: quiet hours, and how many calls are too many. Escalation is a village's."""

import attrs
from sqlalchemy import Connection, select

from townwatch.store.calls.channels import Escalation, escalation_values
from townwatch.store.calls.tables import call_preferences, village_escalations
from townwatch.store.rows import upsert


@attrs.frozen(kw_only=True)
class CallPreferences:
    """`quiet_from`, `quiet_until`: minutes of the day in `time_zone`; None: there are no quiet hours.
    `quiet_escalations`: whether they hold back what was passed on, too. A channel is called at most `digest_calls`
    times in `digest_minutes`; what is more is summed up in one call. 0 calls: no limit.
    """

    time_zone: str = "UTC"
    quiet_from: int | None = None
    quiet_until: int | None = None
    quiet_escalations: bool = False
    digest_calls: int = 6
    digest_minutes: int = 3


def of(connection: Connection, user_id: str) -> CallPreferences:
    """Return a person's preferences; the defaults where none were set."""
    row = connection.execute(select(call_preferences).where(call_preferences.c.user_id == user_id)).first()
    if row is None:
        return CallPreferences()
    values = dict(row._mapping)  # pyright: ignore[reportPrivateUsage] - SQLAlchemy's documented name
    del values["user_id"]
    return CallPreferences(**values)


def put(connection: Connection, user_id: str, preferences: CallPreferences) -> None:
    """Set a person's preferences."""
    upsert(connection, call_preferences, {"user_id": user_id, **attrs.asdict(preferences)})


def put_escalation(connection: Connection, village_id: str, escalation: Escalation, by: str, now_ms: int) -> None:
    """Set how a village passes approvals on."""
    upsert(connection, village_escalations, escalation_values(escalation, village_id, by, now_ms))
