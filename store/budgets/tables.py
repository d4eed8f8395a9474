"""The tables of budgets, as SQLAlchemy Core sees them (see `townwatch.store.tables`)."""

from sqlalchemy import BigInteger, Column, Double, ForeignKey, Index, Integer, Table, Text

from townwatch.store.columns import metadata, ms as _ms, text as _text

budgets = Table(
    "budgets",
    metadata,
    Column("budget_id", Text, primary_key=True),
    Column("village_id", Text, ForeignKey("villages.village_id", ondelete="CASCADE"), nullable=False, index=True),
    _text("scope"),  # session | agent | house | person | village
    _text("target", nullable=True),  # null: each one for itself
    _text("unit"),  # usd | tokens | minutes | sessions
    Column("amount", Double, nullable=False),
    _text("period"),  # day | total
    _text("changed_by", nullable=True),
    _ms("changed_ms", nullable=False),
    _ms("created_ms", nullable=False),
)
budget_raises = Table(  # what was added to a budget in one of its periods
    "budget_raises",
    metadata,
    Column("raise_id", Text, primary_key=True),
    Column("budget_id", Text, ForeignKey("budgets.budget_id", ondelete="CASCADE"), nullable=False, index=True),
    _text("subject"),  # whose, where each one has the budget for itself; else as its target
    _text("period"),  # 2026-11-30 | all
    Column("amount", Double, nullable=False),
    _text("raised_by"),
    _ms("raised_ms", nullable=False),
    _ms("from_ms", nullable=False),  # of a held decision: when it is released
    _text("session_id", nullable=True),  # of the approval that raised it
    _text("approval_id", nullable=True),
)
budget_leases = Table(  # how far a session may spend, at the most that its runner can be holding
    "budget_leases",
    metadata,
    Column("session_id", Text, primary_key=True),
    Column("budget_id", Text, ForeignKey("budgets.budget_id", ondelete="CASCADE"), primary_key=True),
    Column("cap", Double, nullable=False),  # of the session's own count since it began
)
budget_notices = Table(  # what was said once of a budget in one of its periods
    "budget_notices",
    metadata,
    Column("budget_id", Text, ForeignKey("budgets.budget_id", ondelete="CASCADE"), primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("period", Text, primary_key=True),
    Column("kind", Text, primary_key=True),  # warn:<amount> | pace:<number of the episode> | unknown
    _text("session_id"),  # whose runner says it
    _text("title"),
    _text("description"),
    _ms("raised_ms", nullable=False),
    _ms("over_ms"),  # when the episode was over
)
spending = Table(  # what a session used on a day; its sum over the days is as far as the session was counted
    "spending",
    metadata,
    Column("session_id", Text, primary_key=True),
    Column("day", Text, primary_key=True),
    Column("village_id", Text, ForeignKey("villages.village_id", ondelete="CASCADE"), nullable=False),
    _text("agent"),  # its name
    _text("agent_id"),
    _text("house", nullable=True),
    _text("person", nullable=True),  # who started it
    Column("started", Integer, nullable=False),  # 1 on the day that it began
    Column("usd", Double, nullable=False),
    Column("listed_usd", Double, nullable=False),  # the part that is from a table of prices
    Column("tokens", BigInteger, nullable=False),
    Column("unpriced", BigInteger, nullable=False),  # tokens whose cost is not known
    Column("seconds", Double, nullable=False),
    Index("spending_by_village", "village_id", "day"),
)
