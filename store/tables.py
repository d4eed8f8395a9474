"""The tables, as SQLAlchemy Core sees them. What makes them is `migrations`; a test compares the two.

Times are epoch milliseconds (``_ms``). Ids are text. JSON is text, made and read by the module of its noun. Secrets of
any kind are kept as hashes only.
"""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, MetaData, Table, Text, UniqueConstraint

metadata = MetaData()

AutoId = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only in a column declared INTEGER."""


def _ms(name: str, *, nullable: bool = True) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable)


def _text(name: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, Text, nullable=nullable)


users = Table(
    "users",
    metadata,
    Column("user_id", Text, primary_key=True),
    _text("name"),
    Column("email", Text, unique=True),
    _text("password_hash", nullable=True),
    Column("admin", Boolean, nullable=False),
    Column("disabled", Boolean, nullable=False),
    _ms("tokens_from_ms", nullable=False),  # access tokens issued before are void: signing out everywhere
    _ms("created_ms", nullable=False),
)
identities = Table(
    "identities",
    metadata,
    Column("issuer", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("user_id", Text, ForeignKey("users.user_id", ondelete="CASCADE"), nullable=False, index=True),
    _ms("created_ms", nullable=False),
)
villages = Table(
    "villages",
    metadata,
    Column("village_id", Text, primary_key=True),
    _text("name"),
    Column("public", Boolean, nullable=False),
    _ms("created_ms", nullable=False),
)
members = Table(
    "members",
    metadata,
    Column("village_id", Text, ForeignKey("villages.village_id", ondelete="CASCADE"), primary_key=True),
    Column("user_id", Text, ForeignKey("users.user_id", ondelete="CASCADE"), primary_key=True, index=True),
    _text("role"),
    _ms("added_ms", nullable=False),
)
houses = Table(
    "houses",
    metadata,
    Column("house_id", Text, primary_key=True),
    Column("village_id", Text, ForeignKey("villages.village_id", ondelete="CASCADE"), nullable=False),
    _text("name"),
    _text("repo_path"),
    _ms("created_ms", nullable=False),
    UniqueConstraint("village_id", "repo_path"),
)
agents = Table(
    "agents",
    metadata,
    Column("agent_id", Text, primary_key=True),
    Column("village_id", Text, ForeignKey("villages.village_id", ondelete="CASCADE"), nullable=False, index=True),
    _text("house_id", nullable=True),
    _text("session_id", nullable=True),
    _text("name"),
    _text("agent_type"),
    _text("repo_path"),
    _ms("created_ms", nullable=False),
)
sessions = Table(
    "sessions",
    metadata,
    Column("session_id", Text, primary_key=True),
    Column("village_id", Text, ForeignKey("villages.village_id", ondelete="CASCADE"), nullable=False),
    Column("agent_id", Text, nullable=False, index=True),
    _text("house_id", nullable=True),
    Column("runner_id", Text, index=True),
    _text("provider_id"),
    _text("workspace_path", nullable=True),
    _text("state"),
    _text("reason", nullable=True),
    Column("detached", Boolean, nullable=False),
    Column("exit_code", BigInteger),
    Column("last_seq", BigInteger, nullable=False),
    _ms("last_event_ms"),
    _ms("created_ms", nullable=False),
    _ms("started_ms"),
    _ms("ended_ms"),
    _text("usage", nullable=True),
    _text("config", nullable=True),
    _text("created_by", nullable=True),
    Index("sessions_by_village", "village_id", "created_ms"),
)
approvals = Table(
    "approvals",
    metadata,
    Column("session_id", Text, primary_key=True),
    Column("approval_id", Text, primary_key=True),
    Column("village_id", Text, nullable=False),
    _text("request"),
    _ms("requested_ms", nullable=False),
    _ms("timeout_ms"),
    _text("decision", nullable=True),
    _text("resolved_by", nullable=True),
    _text("note", nullable=True),
    _ms("resolved_ms"),
    _ms("confirmed_ms"),  # when the runner said that it has the decision
    Index("approvals_by_village", "village_id", "requested_ms"),
)
runners = Table(
    "runners",
    metadata,
    Column("runner_id", Text, primary_key=True),
    _text("name"),
    Column("village_id", Text, index=True),  # null: serves every village
    _text("hostname", nullable=True),
    _text("version", nullable=True),
    _text("mode"),
    _text("state"),  # active | draining | maintenance: what people want of it; online or not is what the service sees
    _text("capabilities"),
    _text("labels"),
    _text("details"),
    _ms("created_ms", nullable=False),
    _ms("last_seen_ms"),
)
api_tokens = Table(
    "api_tokens",
    metadata,
    Column("token_id", Text, primary_key=True),
    Column("user_id", Text, ForeignKey("users.user_id", ondelete="CASCADE"), nullable=False, index=True),
    _text("name"),
    Column("hash", Text, nullable=False, unique=True),
    _text("scopes"),
    _text("session_id", nullable=True),  # given to an agent in this session: it never decides
    _ms("created_ms", nullable=False),
    _ms("expires_ms"),
    _ms("used_ms"),
    _ms("revoked_ms"),
)
ended_tokens = Table(  # access tokens that were signed out before they ended by themselves
    "ended_tokens",
    metadata,
    Column("token_id", Text, primary_key=True),
    _ms("expires_ms", nullable=False),
)
runner_tokens = Table(
    "runner_tokens",
    metadata,
    Column("token_id", Text, primary_key=True),
    Column("runner_id", Text, ForeignKey("runners.runner_id", ondelete="CASCADE"), nullable=False, index=True),
    Column("hash", Text, nullable=False, unique=True),
    _ms("created_ms", nullable=False),
    _ms("expires_ms"),
    _ms("used_ms"),
    _ms("revoked_ms"),
)
codes = Table(
    "codes",
    metadata,
    Column("hash", Text, primary_key=True),
    _text("kind"),  # sign_in | enrolment
    _text("user_id", nullable=True),  # sign_in: who; enrolment: who made it
    _text("village_id", nullable=True),  # enrolment: the village the runner will serve, null for all
    _text("name", nullable=True),
    _ms("created_ms", nullable=False),
    _ms("expires_ms", nullable=False),
    _ms("used_ms"),
)
audit = Table(
    "audit",
    metadata,
    Column("audit_id", AutoId, primary_key=True, autoincrement=True),
    _ms("at_ms", nullable=False),
    _text("kind"),  # the subject's: user | api_token | session | runner | anonymous | system
    _text("user_id", nullable=True),
    _text("token_id", nullable=True),
    _text("action"),
    _text("village_id", nullable=True),
    _text("session_id", nullable=True),
    _text("target", nullable=True),
    _text("address", nullable=True),
    _text("details", nullable=True),
    Index("audit_by_village", "village_id", "audit_id"),
)
idempotency = Table(
    "idempotency",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    _text("fingerprint"),
    Column("status", Integer),
    _text("body", nullable=True),
    _ms("created_ms", nullable=False),
)
settings = Table("settings", metadata, Column("key", Text, primary_key=True), _text("value"))
