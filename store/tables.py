"""The tables, as SQLAlchemy Core sees them. What makes them is `migrations`; a test compares the two.

Times are epoch milliseconds . Ids are text. JSON is text, made and read by the module of its noun. Secrets of
any kind are kept as hashes only, but for `service_secrets`.
"""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, Table, Text, false

# All tables are known where these are.
import townwatch.store.budgets.tables  # pyright: ignore[reportUnusedImport]
import townwatch.store.calls.tables  # noqa: F401  # pyright: ignore[reportUnusedImport]
from townwatch.store.columns import AutoId, metadata, ms as _ms, text as _text

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
    Column("village_id", Text, primary_key=True),  # the key, never used twice (townwatch.contracts.village_ids)
    Column(
        "public_id", Text, nullable=False, server_default="", unique=True, index=True
    ),  # the name in URLs; free once deleted
    _text("name"),
    Column("public", Boolean, nullable=False),
    _ms("created_ms", nullable=False),
    Column("leave_out_texts", Boolean, nullable=False, server_default=false()),
)
removed_villages = Table(  # deleted, and not yet gone from the log and from memory
    "removed_villages",
    metadata,
    Column("village_id", Text, primary_key=True),
)
village_policies = Table(  # none: no rules were ever set
    "village_policies",
    metadata,
    Column("village_id", Text, ForeignKey("villages.village_id", ondelete="CASCADE"), primary_key=True),
    Column("version", Integer, nullable=False),
    _text("body"),
    _text("changed_by", nullable=True),
    _ms("changed_ms", nullable=False),
)
members = Table(
    "members",
    metadata,
    Column("village_id", Text, ForeignKey("villages.village_id", ondelete="CASCADE"), primary_key=True),
    Column("user_id", Text, ForeignKey("users.user_id", ondelete="CASCADE"), primary_key=True, index=True),
    _text("role"),
    _ms("added_ms", nullable=False),
)
sessions = Table(  # those started by request; what became of them is in the event log
    "sessions",
    metadata,
    Column("session_id", Text, primary_key=True),
    Column("village_id", Text, ForeignKey("villages.village_id", ondelete="CASCADE"), nullable=False),
    _text("agent_id"),
    Column("runner_id", Text),
    _text("provider_id"),
    _ms("created_ms", nullable=False),
    _text("config", nullable=True),
    _text("created_by", nullable=True),  # the user who asked for it; null: not known
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
    _text("decision", nullable=True),
    _text("resolved_by", nullable=True),
    _text("note", nullable=True),
    _ms("resolved_ms"),
    _ms("confirmed_ms"),  # when the runner said how it ended
    _text("outcome", nullable=True),  # allow | deny: what the runner said then, by whom and why
    _text("outcome_by", nullable=True),
    _text("outcome_note", nullable=True),
    _ms("hold_ms"),  # how long a held allow waits before its runner gets it; null once it was released
    _ms("release_ms"),  # when that is over
    Index("approvals_by_village", "village_id", "requested_ms"),
)
approval_answers = Table(  # allows of people that count towards an allow
    "approval_answers",
    metadata,
    Column("session_id", Text, primary_key=True),
    Column("approval_id", Text, primary_key=True),
    Column("user_id", Text, primary_key=True),
    _text("name"),
    Column("signed_in", Boolean, nullable=False),  # not by a program's token
    _text("given"),  # digest of what goes to the agent with it
    _ms("at_ms", nullable=False),
)
alert_resolutions = Table(  # what people said of alerts: an alert that is raised again later is open again
    "alert_resolutions",
    metadata,
    Column("session_id", Text, primary_key=True),
    Column("alert_id", Text, primary_key=True),
    Column("raised_seq", BigInteger, primary_key=True),  # the event that had raised it
    Column("village_id", Text, nullable=False, index=True),
    _text("resolved_by"),
    _ms("resolved_ms", nullable=False),
)
seen_failures = Table(  # failed sessions that a person who drives has seen; the first who did
    "seen_failures",
    metadata,
    Column("session_id", Text, primary_key=True),
    Column("village_id", Text, nullable=False, index=True),
    _text("seen_by"),
    _ms("seen_ms", nullable=False),
)
commands = Table(
    "commands",
    metadata,
    Column("command_id", Text, primary_key=True),
    _text("runner_id"),
    _text("session_id", nullable=True),  # with whose end it is void; null: with no session's
    _text("kind"),
    _text("body"),  # the Command as on the wire; empty once it is settled
    _ms("created_ms", nullable=False),
    _ms("expires_ms"),
    _ms("settled_ms"),
    _text("outcome", nullable=True),  # ok | failed | expired | void
    _text("error", nullable=True),
    Column("held", Boolean, nullable=False, server_default="false"),  # not to be sent yet: a held decision's
    Index("commands_by_runner", "runner_id", "settled_ms"),
    Index("commands_by_session", "session_id"),
)
runners = Table(
    "runners",
    metadata,
    Column("runner_id", Text, primary_key=True),
    _text("name"),
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
runner_villages = Table(  # which villages a runner serves; no row, no village
    "runner_villages",
    metadata,
    Column("runner_id", Text, ForeignKey("runners.runner_id", ondelete="CASCADE"), primary_key=True),
    Column("village_id", Text, ForeignKey("villages.village_id", ondelete="CASCADE"), primary_key=True, index=True),
    _text("granted_by", nullable=True),
    _ms("granted_ms", nullable=False),
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
sign_ins = Table(  # how people came in and from where; whether it still opens anything: see store/sign_ins.py
    "sign_ins",
    metadata,
    Column("sign_in_id", Text, primary_key=True),
    Column("user_id", Text, ForeignKey("users.user_id", ondelete="CASCADE"), nullable=False, index=True),
    Column("token_id", Text, nullable=False, index=True),
    _text("way"),
    _text("address", nullable=True),
    _text("user_agent", nullable=True),
    _ms("created_ms", nullable=False),
    _ms("expires_ms"),
    _ms("ended_ms"),
)
house_names = Table(  # names that people gave to houses; none: as the repository's folder is called
    "house_names",
    metadata,
    Column("village_id", Text, ForeignKey("villages.village_id", ondelete="CASCADE"), primary_key=True),
    Column("repo_id", Text, primary_key=True),
    _text("name"),
    _text("changed_by", nullable=True),
    _ms("changed_ms", nullable=False),
)
clips = Table(  # parts of recordings that were shared by a link
    "clips",
    metadata,
    Column("clip_id", Text, primary_key=True),
    Column("hash", Text, nullable=False, unique=True),
    Column("village_id", Text, ForeignKey("villages.village_id", ondelete="CASCADE"), nullable=False, index=True),
    Column("session_id", Text, nullable=False, index=True),
    Column("user_id", Text, ForeignKey("users.user_id", ondelete="CASCADE"), nullable=False, index=True),
    Column("from_seq", BigInteger, nullable=False),
    Column("to_seq", BigInteger, nullable=False),
    _text("screen", nullable=True),
    _ms("created_ms", nullable=False),
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
    _text("village_id", nullable=True),  # enrolment: the village the runner will serve, null for none yet
    _text("name", nullable=True),
    _ms("created_ms", nullable=False),
    _ms("expires_ms", nullable=False),
    _ms("used_ms"),
    _text("way", nullable=True),  # sign_in: link | oidc | machine
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
    _text("process", nullable=True),  # which process answers it; null: none does
    _text("claim_id", nullable=True),  # the same over every attempt to answer it
)
service_secrets = Table(  # shared by the processes of one PostgreSQL; each has it in its state directory too
    "service_secrets",
    metadata,
    Column("name", Text, primary_key=True),
    _text("value"),
)
kept_sockets = Table(  # clients of Socket.IO, for the process that takes over: see app/returning
    "kept_sockets",
    metadata,
    Column("pid_hash", Text, primary_key=True),
    Column("owner", Text, nullable=False, index=True),
    _text("body"),
    _ms("saved_ms", nullable=False),
    _ms("lost_ms", nullable=True),
)
quarantine = Table(  # rows that could not be read, whole: see store/engine/quarantine.py
    "quarantine",
    metadata,
    Column("quarantine_id", AutoId, primary_key=True, autoincrement=True),
    _ms("at_ms", nullable=False),
    _text("table_name"),
    _ms("row_id", nullable=False),
    _text("why"),
    _text("raw"),
)
