"""The tables of webhooks and of people's calls, as SQLAlchemy Core sees them (see `townwatch.store.tables`)."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, Table, Text

from townwatch.store.columns import AutoId, metadata, ms as _ms, text as _text

webhooks = Table(
    "webhooks",
    metadata,
    Column("webhook_id", Text, primary_key=True),
    Column("village_id", Text, ForeignKey("villages.village_id", ondelete="CASCADE"), nullable=False, index=True),
    _text("name"),
    _text("url"),
    _text("kinds"),  # separated by blanks
    Column("enabled", Boolean, nullable=False),
    _text("secret"),  # encrypted: it has to be read again, to sign with
    _text("old_secret", nullable=True),  # signs, too, until old_until_ms
    _ms("old_until_ms"),
    _ms("from_position", nullable=False),  # of the event log: what came later is told
    Column("dropped", Integer, nullable=False),  # how many messages found the queue full
    _text("trouble", nullable=True),  # why it was switched off by the service
    _text("created_by"),
    _ms("created_ms", nullable=False),
)
channels = Table(  # how a person is called
    "channels",
    metadata,
    Column("channel_id", Text, primary_key=True),
    Column("user_id", Text, ForeignKey("users.user_id", ondelete="CASCADE"), nullable=False, index=True),
    _text("form"),  # push | mail | ntfy | slack | teams
    _text("name"),
    _text("shown"),  # what people see of the address
    _text("address"),  # encrypted: JSON, as its form needs it
    _text("kinds"),  # separated by blanks
    _text("villages"),  # JSON: key of a village → its own kinds
    Column("after_seconds", Integer, nullable=False),  # how long an approval has to wait before it calls here
    Column("enabled", Boolean, nullable=False),
    _text("confirm_hash", nullable=True),  # of the code that its address was sent; null: confirmed
    Column("confirm_tries", Integer, nullable=False),
    _ms("from_position", nullable=False),  # of the event log: what came later is told
    Column("dropped", Integer, nullable=False),
    _text("trouble", nullable=True),  # why it was switched off by the service
    _ms("created_ms", nullable=False),
)
call_preferences = Table(  # no row: the defaults
    "call_preferences",
    metadata,
    Column("user_id", Text, ForeignKey("users.user_id", ondelete="CASCADE"), primary_key=True),
    _text("time_zone"),
    Column("quiet_from", Integer),  # minute of the day; null: no quiet hours
    Column("quiet_until", Integer),
    Column("quiet_escalations", Boolean, nullable=False),  # whether quiet hours hold escalations back, too
    Column("digest_calls", Integer, nullable=False),  # at most so many calls of a channel …
    Column("digest_minutes", Integer, nullable=False),  # … in so many minutes; 0 calls: no limit
)
village_escalations = Table(  # no row: the defaults
    "village_escalations",
    metadata,
    Column("village_id", Text, ForeignKey("villages.village_id", ondelete="CASCADE"), primary_key=True),
    Column("minutes", Integer, nullable=False),  # 0: approvals are not passed on
    _text("people"),  # JSON: ids, in order
    _text("changed_by"),
    _ms("changed_ms", nullable=False),
)
call_links = Table(  # each opens one approval for one person, and decides it once
    "call_links",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("user_id", Text, ForeignKey("users.user_id", ondelete="CASCADE"), nullable=False, index=True),
    _text("channel_id"),
    _text("village_id"),
    _text("session_id"),
    _text("approval_id"),
    _ms("created_ms", nullable=False),
    Column("expires_ms", BigInteger, nullable=False, index=True),
    _ms("used_ms"),
)
call_deliveries = Table(  # messages for webhooks and for people's channels
    "call_deliveries",
    metadata,
    Column("delivery_id", AutoId, primary_key=True, autoincrement=True),
    _text("target_id"),  # a webhook or a channel; what is left of one that was deleted is removed
    _text("message_id"),  # the same over every attempt
    _text("kind"),
    _text("session_id", nullable=True),
    _text("body"),  # of a webhook: as it is sent; of a channel: what is told, before it has a form
    _text("state"),  # waiting | delivered | dead | void
    Column("attempts", Integer, nullable=False),
    _ms("created_ms", nullable=False),
    _ms("next_ms", nullable=False),  # not before; of one that is done, when that was
    Column("status", Integer),
    _text("error", nullable=True),
    Index("call_deliveries_once", "target_id", "message_id", unique=True),
    Index("call_deliveries_due", "state", "target_id", "next_ms"),
)
webhook_cursor = Table(  # one row: up to which position of the event log the deliveries were made
    "webhook_cursor",
    metadata,
    Column("cursor_id", Integer, primary_key=True),
    _ms("position", nullable=False),
)
